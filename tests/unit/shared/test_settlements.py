from __future__ import annotations

import threading

from hermes_twisted.shared.settlements import BATCH_BYTES, BATCH_COUNT, Settlements
from tests.unit.shared.conftest import Waker


def test_settlements_come_in_lots_by_count(wake: Waker) -> None:
    """Settled requests are reported when enough of them have come together."""
    settlements = Settlements(wake, count=3, size=1000)
    settlements.settle(10)
    settlements.settle(20)
    assert (settlements.take(), wake.count) == ((0, 0), 0)

    settlements.settle(30)

    assert wake.count == 1
    assert settlements.take() == (3, 60)
    assert settlements.take() == (0, 0)


def test_settlements_come_in_lots_by_bytes(wake: Waker) -> None:
    """One large settled request is reported at once."""
    settlements = Settlements(wake, count=100, size=1000)
    settlements.settle(999)
    assert settlements.take() == (0, 0)

    settlements.settle(1)

    assert wake.count == 1
    assert settlements.take() == (2, 1000)


def test_settle_several(wake: Waker) -> None:
    """A report of the worker settles several requests in one call."""
    settlements = Settlements(wake, count=3, size=1000)

    settlements.settle(500, 3)

    assert settlements.take() == (3, 500)


def test_settlement_does_not_wake_twice(wake: Waker) -> None:
    """A lot wakes the consumer once, however much is settled before that takes it."""
    settlements = Settlements(wake, count=2)

    for _ in range(5):
        settlements.settle(1)

    assert wake.count == 1
    assert settlements.take() == (5, 5)


def test_each_lot_wakes_once(wake: Waker) -> None:
    """The consumer is told of each lot, once, whatever it does meanwhile."""
    settlements = Settlements(wake, count=2)

    for lots in (1, 2, 3):
        for _ in range(4):
            settlements.settle(1)
        assert wake.count == lots
        assert settlements.take() == (4, 4)


def test_nobody_is_woken_after_close(wake: Waker) -> None:
    """The client has gone; what is settled late is still counted."""
    settlements = Settlements(wake, count=1)
    settlements.close()

    settlements.settle(1)

    assert wake.count == 0
    assert settlements.take() == (1, 1)


def test_wake_is_called_without_the_lock() -> None:
    """The wake-up may take the lot: it is called after the lock was released."""
    taken: list[tuple[int, int]] = []
    settlements = Settlements(lambda: taken.append(settlements.take()), count=1)

    settlements.settle(7)

    assert taken == [(1, 7)]


def test_many_threads(wake: Waker) -> None:
    """No request is counted twice or not at all, however many threads settle."""
    settlements = Settlements(wake, count=1)

    def settle() -> None:
        for _ in range(500):
            settlements.settle(3)

    threads = [threading.Thread(target=settle) for _ in range(4)]
    for thread in threads:
        thread.start()
    total = 0
    while any(thread.is_alive() for thread in threads):
        total += settlements.take()[0]
    for thread in threads:
        thread.join()

    assert total + settlements.take()[0] == 2000


def test_ordinary_lots() -> None:
    """Without other numbers a lot is 32 requests, or 2 MiB of them."""
    assert (BATCH_COUNT, BATCH_BYTES) == (32, 2 * 1024 * 1024)
