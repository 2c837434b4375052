from __future__ import annotations

import pytest

from hermes_twisted.limits import Limits
from hermes_twisted.seats.queues import batch_bytes, batch_count, make_outbox, make_settlements
from hermes_twisted.shared.outbox import DELTA
from hermes_twisted.shared.settlements import BATCH_BYTES, BATCH_COUNT


def test_the_outbox_has_the_limits_of_the_operator() -> None:
    """Deltas are shed above the soft limit, and the hard limit is an overflow."""
    outbox = make_outbox(Limits(max_queued_soft=10, max_queued_hard=20), lambda: None)
    outbox.put(b"x" * 11, DELTA)
    assert outbox.shed == 1

    outbox.put(b"y" * 21)
    outbox.put(b"z")

    assert outbox.overflowed


def test_settlements_come_in_the_usual_lots() -> None:
    """With ordinary limits."""
    assert (batch_count(Limits()), batch_bytes(Limits())) == (BATCH_COUNT, BATCH_BYTES)


@pytest.mark.parametrize("size", [1, 7, 8, 15, 16, 100, 10**9])
def test_settlements_are_reported_in_time(size: int) -> None:
    """Unreported settlements are too few to keep a paused client paused (half its window)."""
    limits = Limits(max_waiting_requests=size, max_waiting_bytes=size)
    settlements = make_settlements(limits, lambda: None)

    for _ in range(max(1, size // 8) if size < 1000 else BATCH_COUNT):
        settlements.settle(0)

    assert settlements.take()[0] >= 1
    assert 1 <= batch_count(limits) <= max(1, size // 8)
    assert 1 <= batch_bytes(limits) <= max(1, size // 8)
