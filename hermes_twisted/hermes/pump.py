"""The worker's way to the front: a thread that writes the seats' frames to the socket.

When nothing has been written for a moment, the thread that puts a frame writes it itself.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from ..shared.outbox import ANSWER, NOTE, Outbox
from ..shared.packets import HEADER, LARGE, QUIET_PERIOD, SIZE, Op, batches, pack
from ..shared.settlements import Settlements

#: Bytes of one seat that go out before the next seat's turn.
TURN: Final = 256 * 1024

#: Kinds of packets by kinds of frames; all others are events.
_OPS: Final = {ANSWER: Op.ANSWER, NOTE: Op.NOTE}


#: Makes a seat's outbox and settlements, given the function that they call to be sent.
MakeQueues = Callable[[Callable[[], None]], tuple[Outbox, Settlements]]


class Line:
    """One seat's way to the front: its outbox and settlements, and how much is under way.

    *make_queues* gets the function that both are to call when they have something.
    """

    def __init__(
        self,
        seat: int,
        make_queues: MakeQueues,
        rouse: Callable[[Line], None],
    ) -> None:
        self.seat = seat
        self.outbox, self.settlements = make_queues(lambda: rouse(self))
        self.unacknowledged = 0
        """Bytes sent for which the front has given no credit."""
        self.stalled = False
        """Whether its frames wait for credit."""
        self.overflow_told = False
        """Whether the front knows that the outbox has overflowed."""
        self.shed_told = 0
        """Shed deltas that the front knows of."""


class Pump:
    """Moves frames from the seats' outboxes to the socket, in turns.

    A seat whose client is slow uses up its *window* of bytes and is passed over
    until the front gives credit; the others never wait for it.

    *now* is in seconds, by a clock that never jumps.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        window: int,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._socket = sock
        self._window = window
        self._now = now
        self._written = 0.0
        self._writing = False
        self._left: list[bytes] = []
        self._condition = threading.Condition()
        self._ready: deque[Line] = deque()
        self._packets: list[bytes] = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="hermes-pump", daemon=True)

    def start(self) -> None:
        """Start the thread that writes."""
        self._thread.start()

    def finish(self) -> None:
        """Write what waits, then end the thread. Blocks."""
        with self._condition:
            self._ending = True
            self._condition.notify()
        self._thread.join()

    def open(self, seat: int, make_queues: MakeQueues) -> Line:
        """Return the line of a new seat; whatever comes into its queues is sent."""
        return Line(seat, make_queues, self.rouse)

    def say(self, packet: bytes) -> None:
        """Send one packet that comes from no outbox. Never blocks."""
        with self._condition:
            self._packets.append(packet)
            self._condition.notify()

    def rouse(self, line: Line) -> None:
        """Send what is in *line*'s outbox. Called by any thread; never blocks."""
        with self._condition:
            self._ready.append(line)
            if self._writing:
                return  # The thread that writes looks again when it is done.
            calm = self._now() - self._written > QUIET_PERIOD
            if not calm or self._packets or self._left or line.outbox.size > LARGE:
                self._condition.notify()
                return
            self._writing = True
            lines, self._ready = self._ready, deque()
        self._write_at_once(lines)

    def credit(self, line: Line, size: int) -> None:
        """Take credit: *size* more bytes were passed on to the client of *line*."""
        with self._condition:
            line.unacknowledged -= size
            if line.stalled and line.unacknowledged < self._window:
                line.stalled = False
                self._ready.append(line)
                self._condition.notify()

    def _run(self) -> None:
        """Write until `finish`, or until the front is gone. The thread's function."""
        try:
            while True:
                with self._condition:
                    while self._writing or not self._has_work():
                        self._condition.wait()
                    chunks = [*self._left, *self._packets]
                    self._left, self._packets = [], []
                    lines, self._ready = self._ready, deque()
                    if not (chunks or lines):
                        return
                    self._writing = True
                for line in lines:
                    self._collect(line, chunks)
                pieces = batches(chunks)
                del chunks  # Large texts are freed as soon as they are sent.
                while pieces:
                    self._socket.sendall(pieces.pop(0))
                with self._condition:
                    self._end_writing()
        except OSError:
            # The front is gone; the main thread sees the same and ends the worker.
            return

    def _has_work(self) -> bool:
        return bool(self._ready or self._packets or self._left or self._ending)

    def _end_writing(self) -> None:
        self._writing = False
        self._written = self._now()

    def _write_at_once(self, lines: deque[Line]) -> None:
        """Write in the thread that called `rouse`, as far as the socket takes it at once.

        The pump's thread writes the rest.
        """
        chunks: list[bytes] = []
        for line in lines:
            self._collect(line, chunks)
        data = b"".join(chunks)
        try:
            sent = self._socket.send(data, socket.MSG_DONTWAIT) if data else 0
        except OSError:
            sent = 0  # It takes no more at the moment; or it is gone, as the pump will see.
        with self._condition:
            self._end_writing()
            if sent < len(data):
                self._left.append(data[sent:])
            if self._has_work():
                self._condition.notify()

    def _collect(self, line: Line, chunks: list[bytes]) -> None:
        """Append the packets of one turn of *line* to *chunks*."""
        outbox = line.outbox
        count, size = line.settlements.take()
        if count:
            chunks.append(pack(Op.SETTLED, line.seat, count, SIZE.pack(size)))
        if (shed := outbox.shed - line.shed_told) > 0:
            line.shed_told += shed
            chunks.append(pack(Op.SHED, line.seat, shed))
        if outbox.overflowed:
            if not line.overflow_told:
                line.overflow_told = True
                chunks.append(pack(Op.OVERFLOW, line.seat))
            return
        with self._condition:
            if line.unacknowledged >= self._window:
                line.stalled = True
                return
        sent = 0
        for kind, tag, text in outbox.take(TURN):
            chunks.append(HEADER.pack(_OPS.get(kind, Op.EVENT), line.seat, tag, len(text)))
            chunks.append(text)
            if kind != NOTE:  # A note is for the front itself, which gives no credit for it.
                sent += len(text)
        with self._condition:
            line.unacknowledged += sent
            if outbox.size:
                self._ready.append(line)
