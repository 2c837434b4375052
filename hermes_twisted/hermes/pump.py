"""The worker's one thread that writes to the front."""

from __future__ import annotations

import socket
import threading
from collections import deque
from typing import Final

from ..core.outbox import ANSWER, NOTE, Outbox
from ..core.packets import HEADER, SIZE, Op, pack

#: Bytes of one seat that go out before the next seat's turn.
TURN: Final = 256 * 1024

_OPS: Final = {ANSWER: Op.ANSWER, NOTE: Op.NOTE}


class Line:
    """One seat's way to the front."""

    outbox: Outbox

    def __init__(self, seat: int) -> None:
        self.seat = seat
        self.unacknowledged = 0
        """Bytes sent for which the front has given no credit back."""
        self.stalled = False
        self.overflow_told = False
        self.shed_told = 0


class Pump:
    """Moves frames from the seats' outboxes to the socket, in turns.

    A seat whose client is slow uses up its *window* of bytes and is passed over
    until the front gives credit; the others never wait for it.
    """

    def __init__(self, sock: socket.socket, *, window: int) -> None:
        self._socket = sock
        self._window = window
        self._bell = threading.Condition()
        self._ready: deque[Line] = deque()
        self._say: list[bytes] = []
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="hermes-pump", daemon=True)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def finish(self) -> None:
        """Write what was said, then end."""
        with self._bell:
            self._ending = True
            self._bell.notify()
        self._thread.join()

    def say(self, packet: bytes) -> None:
        """Send one packet that belongs to no seat's queue."""
        with self._bell:
            self._say.append(packet)
            self._bell.notify()

    def rouse(self, line: Line) -> None:
        """*line*'s outbox has something. Called by any thread."""
        with self._bell:
            self._ready.append(line)
            self._bell.notify()

    def credit(self, line: Line, size: int) -> None:
        """The client of *line* has got *size* bytes more."""
        with self._bell:
            line.unacknowledged -= size
            if line.stalled and line.unacknowledged < self._window:
                line.stalled = False
                self._ready.append(line)
                self._bell.notify()

    def _run(self) -> None:
        try:
            while True:
                with self._bell:
                    while not (self._ready or self._say or self._ending):
                        self._bell.wait()
                    chunks, self._say = self._say, []
                    lines, self._ready = self._ready, deque()
                    if not (chunks or lines):
                        return
                for line in lines:
                    self._collect(line, chunks)
                self._socket.sendall(b"".join(chunks))
        except OSError:
            # The front is gone; the main thread sees the same and ends the worker.
            return

    def _collect(self, line: Line, chunks: list[bytes]) -> None:
        outbox = line.outbox
        count, size = outbox.take_settled()
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
        with self._bell:
            if line.unacknowledged >= self._window:
                line.stalled = True
                return
        sent = 0
        for kind, tag, text in outbox.take(TURN):
            chunks.append(HEADER.pack(_OPS.get(kind, Op.EVENT), line.seat, tag, len(text)))
            chunks.append(text)
            if kind != NOTE:  # For the front itself, which gives no credit for it.
                sent += len(text)
        with self._bell:
            line.unacknowledged += sent
            if outbox.size:
                self._ready.append(line)
