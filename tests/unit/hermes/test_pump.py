from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from hermes_twisted.hermes.pump import TURN, Line, Pump
from hermes_twisted.shared.outbox import ANSWER, DELTA, EVENT, Outbox
from hermes_twisted.shared.packets import LARGE, SIZE, Op, Packet, Unpacker, batches, pack
from hermes_twisted.shared.settlements import Settlements

#: Only a broken pump makes a test wait that long.
GUARD = 60.0
WINDOW = 1000


class Front:
    """The other end of the pump's socket."""

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._unpacker = Unpacker()
        self._packets: list[Packet] = []

    def read(self) -> Packet:
        while not self._packets:
            data = self.socket.recv(65536)
            assert data, "the pump has ended"
            self._packets.extend(self._unpacker.feed(data))
        return self._packets.pop(0)

    def read_to_the_end(self) -> list[Packet]:
        while data := self.socket.recv(65536):
            self._packets.extend(self._unpacker.feed(data))
        return self._packets


class Works:
    """A pump between two sockets."""

    def __init__(self, window: int = WINDOW) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(GUARD)
        self.front = Front(ours)
        self.socket = theirs
        self.pump = Pump(theirs, window=window)

    def line(
        self, seat: int, settle_count: int = 32, settle_bytes: int = 2**40, **options: int
    ) -> Line:
        def make_queues(wake: Callable[[], None]) -> tuple[Outbox, Settlements]:
            settlements = Settlements(wake, count=settle_count, size=settle_bytes)
            return Outbox(wake, **options), settlements  # type: ignore[arg-type]

        return self.pump.open(seat, make_queues)

    def assert_nothing_else(self) -> None:
        """All that was put before has been dealt with, and nothing of it was sent."""
        # The first mark may travel with frames behind it; these precede the second.
        for mark in (1, 2):
            self.pump.say(pack(Op.DRAINED, tag=mark))
            assert self.front.read() == (Op.DRAINED, 0, mark, b"")

    def close(self) -> None:
        self.front.socket.close()
        self.pump.finish()
        self.socket.close()


@pytest.fixture
def works() -> Iterator[Works]:
    works = Works()
    works.pump.start()
    yield works
    works.close()


@pytest.fixture
def idle_works() -> Iterator[Works]:
    """The same, not started: what is queued before goes out as one batch."""
    works = Works()
    yield works
    works.close()


def test_say(works: Works) -> None:
    """What the worker itself says arrives as it is, in order."""
    works.pump.say(pack(Op.READY, body=b"{}"))
    works.pump.say(pack(Op.DRAINED, tag=1))

    assert works.front.read() == (Op.READY, 0, 0, b"{}")
    assert works.front.read() == (Op.DRAINED, 0, 1, b"")


def test_frames(works: Works) -> None:
    """A seat's frames arrive in order, answers with their tags, deltas as events."""
    line = works.line(7)

    line.outbox.put(b"event")
    line.outbox.put(b"answer", ANSWER, 5)
    line.outbox.put(b"delta", DELTA)

    assert [works.front.read() for _ in range(3)] == [
        (Op.EVENT, 7, 0, b"event"),
        (Op.ANSWER, 7, 5, b"answer"),
        (Op.EVENT, 7, 0, b"delta"),
    ]


def test_finish_writes_first(works: Works) -> None:
    """The last words are written before the pump ends."""
    works.pump.say(pack(Op.FAILED, body=b"{}"))
    works.pump.finish()
    works.socket.shutdown(socket.SHUT_WR)

    assert works.front.read_to_the_end() == [(Op.FAILED, 0, 0, b"{}")]


def test_full_window_stalls(works: Works) -> None:
    """A seat with a window's worth under way sends nothing until there is credit."""
    line = works.line(1)
    line.outbox.put(b"x" * WINDOW)
    assert works.front.read() == (Op.EVENT, 1, 0, b"x" * WINDOW)

    line.outbox.put(b"late")
    works.assert_nothing_else()

    works.pump.credit(line, WINDOW)
    assert works.front.read() == (Op.EVENT, 1, 0, b"late")


def test_credit_below_the_window_is_enough(works: Works) -> None:
    """Any credit that brings a stalled seat below its window lets it go on, and none above."""
    line = works.line(1)
    line.outbox.put(b"x" * (WINDOW + 10))
    works.front.read()
    line.outbox.put(b"late")
    works.assert_nothing_else()

    works.pump.credit(line, 10)
    works.assert_nothing_else()
    works.pump.credit(line, 1)

    assert works.front.read() == (Op.EVENT, 1, 0, b"late")


def test_credit_of_a_seat_that_is_not_stalled(works: Works) -> None:
    """Credit opens the window for what comes later."""
    line = works.line(1)
    line.outbox.put(b"x" * WINDOW)
    works.front.read()
    works.pump.credit(line, WINDOW)
    works.assert_nothing_else()

    line.outbox.put(b"next")

    assert works.front.read() == (Op.EVENT, 1, 0, b"next")


def test_a_stalled_seat_stalls_nobody_else(works: Works) -> None:
    """While one client is slow the others get their frames."""
    slow, quick = works.line(1), works.line(2)
    slow.outbox.put(b"x" * WINDOW)
    works.front.read()
    slow.outbox.put(b"late")

    quick.outbox.put(b"now")

    assert works.front.read() == (Op.EVENT, 2, 0, b"now")


def test_a_large_frame_passes(works: Works) -> None:
    """One frame above the window goes out whole."""
    line = works.line(1)

    line.outbox.put(b"x" * (WINDOW * 100))

    assert works.front.read() == (Op.EVENT, 1, 0, b"x" * (WINDOW * 100))


def test_seats_take_turns() -> None:
    """A seat with much to send lets the others have theirs after each turn."""
    works = Works(window=TURN * 100)
    busy, other = works.line(1), works.line(2)
    for _ in range(3):
        busy.outbox.put(b"x" * TURN)
    other.outbox.put(b"y")
    try:
        works.pump.start()

        assert [works.front.read().seat for _ in range(4)] == [1, 2, 1, 1]
    finally:
        works.close()


def test_settlements(works: Works) -> None:
    """Requests that were run are reported, with their bytes, even without a frame."""
    line = works.line(3, settle_count=2, settle_bytes=2**40)

    line.settlements.settle(2**33)
    works.assert_nothing_else()
    line.settlements.settle(1)

    assert works.front.read() == (Op.SETTLED, 3, 2, SIZE.pack(2**33 + 1))


def test_settlements_of_a_stalled_seat(works: Works) -> None:
    """A slow reader's settlements do not wait for its credit."""
    line = works.line(3, settle_count=1)
    line.outbox.put(b"x" * WINDOW)
    works.front.read()

    line.settlements.settle(5)

    assert works.front.read() == (Op.SETTLED, 3, 1, SIZE.pack(5))


def test_settlements_of_a_seat_that_stays_stalled(works: Works) -> None:
    """They do not wait when frames wait for that credit, either; these go on as it comes."""
    line = works.line(3, settle_count=2)
    line.outbox.put(b"x" * WINDOW)
    works.front.read()
    line.outbox.put(b"late")
    works.assert_nothing_else()

    for _ in range(2):
        line.settlements.settle(5)
        line.settlements.settle(5)
        assert works.front.read() == (Op.SETTLED, 3, 2, SIZE.pack(10))
    works.assert_nothing_else()

    works.pump.credit(line, WINDOW)
    assert works.front.read() == (Op.EVENT, 3, 0, b"late")
    works.assert_nothing_else()


def test_overflow_is_told_once(works: Works) -> None:
    """A client that reads too slowly is reported once, and gets nothing more."""
    line = works.line(4, soft=10, hard=10)
    line.outbox.put(b"x" * WINDOW)
    works.front.read()
    line.outbox.put(b"y" * 11)
    works.assert_nothing_else()

    line.outbox.put(b"z")
    assert works.front.read() == (Op.OVERFLOW, 4, 0, b"")
    line.outbox.overflow()

    works.assert_nothing_else()


def test_settled_and_overflowed(idle_works: Works) -> None:
    """An overflow does not hide what was settled before it."""
    line = idle_works.line(4, settle_count=1)
    line.settlements.settle(5)
    line.outbox.overflow()

    idle_works.pump.start()

    assert idle_works.front.read() == (Op.SETTLED, 4, 1, SIZE.pack(5))
    assert idle_works.front.read() == (Op.OVERFLOW, 4, 0, b"")


def test_the_front_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the front has gone the pump ends in silence, and writers go on unharmed."""
    crashes: list[object] = []
    monkeypatch.setattr(threading, "excepthook", crashes.append)
    works = Works()
    works.front.socket.close()
    works.pump.start()
    line = works.line(1)

    line.outbox.put(b"x")
    works.pump.finish()

    assert line.outbox.put(b"y")
    assert crashes == []
    works.socket.close()


def test_many_writers(works: Works) -> None:
    """Frames of many threads on many seats arrive whole, each seat's in order."""
    lines = [works.line(seat) for seat in range(4)]
    start = threading.Barrier(len(lines))

    def write(line: Line) -> None:
        start.wait()
        for number in range(500):
            line.outbox.put(b"%d" % number)

    threads = [threading.Thread(target=write, args=(line,)) for line in lines]
    for thread in threads:
        thread.start()
    received: dict[int, list[int]] = {line.seat: [] for line in lines}
    while sum(map(len, received.values())) < 2000:
        packet = works.front.read()
        received[packet.seat].append(int(packet.body))
        works.pump.credit(lines[packet.seat], len(packet.body))
    for thread in threads:
        thread.join()

    assert received == {seat: list(range(500)) for seat in range(4)}


def test_what_was_shed_is_told(idle_works: Works) -> None:
    """How much live text was left out, each time only what is new."""
    line = idle_works.line(4, soft=10, hard=1000)
    line.outbox.put(b"01234567890", DELTA)
    line.outbox.put(b"text", EVENT)
    assert line.outbox.shed == 1

    idle_works.pump.start()

    assert idle_works.front.read() == (Op.SHED, 4, 1, b"")
    assert idle_works.front.read() == (Op.EVENT, 4, 0, b"text")
    line.outbox.put(b"later", EVENT)
    assert idle_works.front.read() == (Op.EVENT, 4, 0, b"later")


class Clock:
    def __init__(self) -> None:
        self.time = 100.0

    def __call__(self) -> float:
        return self.time


class TestAtOnce:
    """Whose frame finds the pump at rest writes it: the pump's own thread is not started here."""

    @pytest.fixture
    def clock(self) -> Clock:
        return Clock()

    @pytest.fixture
    def works(self, clock: Clock) -> Iterator[Works]:
        works = Works()
        works.pump = Pump(works.socket, window=WINDOW, now=clock)
        yield works
        works.front.socket.close()
        works.socket.close()

    def test_when_calm(self, works: Works) -> None:
        line = works.line(1)

        line.outbox.put(b"now")

        assert works.front.read() == (Op.EVENT, 1, 0, b"now")

    def test_not_in_a_burst(self, works: Works, clock: Clock) -> None:
        """The next in a moment is left to the pump, which gathers."""
        one, two = works.line(1), works.line(2)
        one.outbox.put(b"now")
        two.outbox.put(b"soon")
        assert works.front.read() == (Op.EVENT, 1, 0, b"now")
        assert two.outbox.size == 4

        clock.time += 1
        one.outbox.put(b"later")

        assert works.front.read() == (Op.EVENT, 2, 0, b"soon")
        assert works.front.read() == (Op.EVENT, 1, 0, b"later")

    def test_nothing_large(self, works: Works) -> None:
        """A large text is the pump's: it waits for the front as it goes."""
        line = works.line(1)
        line.outbox.put(b"x" * (LARGE + 1))

        assert line.outbox.size == LARGE + 1

    def test_a_full_socket_stops_nobody(self, works: Works, clock: Clock) -> None:
        """What the socket does not take is written by the pump, in order and whole."""
        works.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        lines = [works.line(number) for number in range(1, 20)]
        for line in lines:
            clock.time += 1
            line.outbox.put(b"x" * LARGE)
        assert any(line.outbox.size for line in lines)

        works.pump.start()
        packets = [works.front.read() for _ in lines]

        assert [(packet.seat, len(packet.body)) for packet in packets] == [
            (number, LARGE) for number in range(1, 20)
        ]

    def test_a_front_that_is_gone(self, works: Works) -> None:
        """Nobody's thread is told: the worker ends by itself."""
        works.front.socket.close()
        line = works.line(1)

        assert line.outbox.put(b"lost")


def test_large_texts_are_not_copied() -> None:
    """A batch is joined, but for what is large."""
    large = b"x" * (LARGE + 1)

    first, second, third = batches([b"a", b"b", large, b"c"])

    assert (first, third) == (b"ab", b"c")
    assert second is large
