"""The thread-safe hand-over of frames to one client's consumer.

Any thread may `put`; one consumer takes. It is the only place where threads meet the
event loop (or, in the worker, the thread that feeds the front). What waits is kept by
`frame_queue`, what is left out for a slow client is decided by `shedding`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Final

from .backlog import NO_BACKLOG, Backlog
from .frame_queue import ANSWER, DELTA, EVENT, NOTE, FrameQueue, Item
from .shedding import Shedding

__all__ = ["ANSWER", "DELTA", "EVENT", "HARD_LIMIT", "NOTE", "SOFT_LIMIT", "Item", "Outbox"]

SOFT_LIMIT: Final = 8 * 1024 * 1024
HARD_LIMIT: Final = 32 * 1024 * 1024

#: Changes of the size are reported to the backlog of all in lots of so many bytes: everyday
#: frames come and go without touching what all clients share.
LOT: Final = 16 * 1024


class Outbox:
    """Frames in the order of the `put` calls, with a soft and a hard limit in bytes.

    *wake* is called, in the putting thread, when something is waiting and the
    consumer is idle: once per batch, not once per frame. The consumer is idle
    when a `take` has left nothing behind. Of an overflow it is told even when it is not: it
    may wait for the client.

    Above *soft* waiting bytes, deltas are shed (see `shedding.Shedding`). When a
    frame comes while more than *hard* bytes wait, the outbox overflows: it keeps
    nothing and takes nothing any more. One larger frame alone always passes. The same
    happens when the *total* that it shares with others is spent and it holds more
    than its share.

    *answered* is told of each answer, tag and text, in the putting thread.
    """

    def __init__(
        self,
        wake: Callable[[], None],
        *,
        soft: int = SOFT_LIMIT,
        hard: int = HARD_LIMIT,
        explain: Callable[[], bytes] | None = None,
        total: Backlog | None = None,
        answered: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._total = total or Backlog(sys.maxsize)
        self._total.join()
        self._wake = wake
        self._hard = hard
        self._answered = answered
        self._lock = threading.Lock()
        self._queue = FrameQueue()
        self._shedding = Shedding(self._queue, soft, explain)
        self._reported = 0
        self._awake = False
        self._closed = False
        self._shed_elsewhere = 0
        self.overflowed = False
        """True once the hard limit was hit; the client has to go."""
        self.events = 0
        """How many frames were put that answer no request."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._queue.size

    @property
    def position(self) -> int:
        """The position of the frame that was taken last: how many have been taken so far."""
        return self._queue.position

    @property
    def shed(self) -> int:
        """How many deltas were left out so far, here and before they came here."""
        return self._shedding.count + self._shed_elsewhere

    def put(self, data: bytes, kind: int = EVENT, tag: int = 0, note: bytes = b"") -> bool:
        """Queue one frame; False means that it will not arrive, nor will later ones.

        A *note* goes right behind it: they are taken together, so that no end of the
        process comes between them.
        """
        if kind == ANSWER and self._answered is not None:
            self._answered(tag, data)
        queue = self._queue
        with self._lock:
            if self._closed or self.overflowed:
                return False
            self.events += kind < ANSWER
            if kind == DELTA and self._shedding.active:
                self._shedding.leave_out(1)
            elif queue.size > self._hard or (
                queue.size > NO_BACKLOG and self._total.forbids(queue.size)
            ):
                self._overflow()
            else:
                queue.append(kind, tag, data)
                if note:
                    queue.append(NOTE, 0, note)
                self._shedding.begin_if_above()
            if not -LOT <= queue.size - self._reported <= LOT:
                self._report()
            accepted = not self.overflowed
            # An overflow is news even to a consumer that waits for the client.
            rouse = not (self._awake and accepted)
            self._awake = True
        if rouse:
            self._wake()
        return accepted

    def take(self, budget: int) -> list[Item]:
        """Remove frames from the front until they make *budget* bytes or none is left.

        The last one may exceed the budget, so a large frame is never stuck; a note goes
        with the frame before it.
        """
        with self._lock:
            taken = self._queue.take(budget)
            if self._reported - self._queue.size > LOT:
                self._report()
            self._shedding.end_if_drained()
            if not self._queue:
                self._awake = False
            return taken

    def note_shed(self, count: int) -> None:
        """Count *count* deltas that were left out before they came here."""
        with self._lock:
            self._shed_elsewhere += count

    def close(self) -> None:
        """Drop what waits and refuse what comes."""
        with self._lock:
            self._empty()
            if not self._closed:
                self._closed = True
                self._total.leave()

    def overflow(self) -> None:
        """Give up: keep nothing, and take nothing any more."""
        with self._lock:
            self._overflow()
        self._wake()

    def _overflow(self) -> None:
        self.overflowed = True
        self._empty()

    def _empty(self) -> None:
        self._queue.clear()
        self._report()

    def _report(self) -> None:
        self._total.change(self._queue.size - self._reported)
        self._reported = self._queue.size
