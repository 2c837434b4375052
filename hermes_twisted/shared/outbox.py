"""The outbox: a thread-safe queue of frames for one client.

Any thread may `put`. One consumer takes: the event loop or, in the worker, the thread that writes
to the front. `frame_queue` stores the frames, `shedding` decides which deltas are shed.
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

#: The default limits, in bytes.
SOFT_LIMIT: Final = 8 * 1024 * 1024
HARD_LIMIT: Final = 32 * 1024 * 1024

#: Changes of the size are reported to the shared backlog in steps of this many bytes, so that small
#: frames need not take its lock.
REPORT_STEP: Final = 16 * 1024


class Outbox:
    """Frames in the order of the `put` calls, with a soft and a hard limit in bytes.

    *wake* is called, in the putting thread, when a frame is put after a `take` that left none, and
    after an overflow, because the consumer may be waiting for the client to read.

    Above *soft* waiting bytes, deltas are shed (`shedding.Shedding`); *explain* makes the frame
    that informs the client. When a frame is put while more than *hard* bytes wait, or while *total*
    forbids this outbox to grow, the outbox overflows: it drops all frames, and accepts no more. A
    single frame of any size is always accepted.

    *answered* is called with the tag and text of each answer, in the putting thread.
    """

    __slots__ = (
        "_answered",
        "_awake",
        "_closed",
        "_hard",
        "_lock",
        "_queue",
        "_reported",
        "_shed_elsewhere",
        "_shedding",
        "_total",
        "_wake",
        "events",
        "overflowed",
    )

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
        """Whether the outbox has overflowed, so that the client must be disconnected."""
        self.events = 0
        """The number of frames, so far, that answer no request."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._queue.size

    @property
    def position(self) -> int:
        """The position of the frame that was taken last: how many were taken so far."""
        return self._queue.position

    @property
    def shed(self) -> int:
        """The number of deltas that were shed so far, here and by the worker."""
        return self._shedding.count + self._shed_elsewhere

    def put(self, data: bytes, kind: int = EVENT, tag: int = 0, note: bytes = b"") -> bool:
        """Queue one frame; return False if the outbox is closed or has overflowed.

        A *note* is queued right after it. Both are taken together, so that the worker cannot end
        between them.
        """
        if kind == ANSWER and self._answered is not None:
            self._answered(tag, data)
        queue = self._queue
        with self._lock:
            if self._closed or self.overflowed:
                return False
            self.events += kind < ANSWER
            if kind == DELTA and self._shedding.active:
                self._shedding.count_shed(1)
            elif queue.size > self._hard or (
                queue.size > NO_BACKLOG and self._total.forbids(queue.size)
            ):
                self._overflow()
            else:
                queue.append(kind, tag, data)
                if note:
                    queue.append(NOTE, 0, note)
                self._shedding.begin_if_above()
            if not -REPORT_STEP <= queue.size - self._reported <= REPORT_STEP:
                self._report()
            accepted = not self.overflowed
            # After an overflow even a consumer that is not idle is called.
            must_wake = not (self._awake and accepted)
            self._awake = True
        if must_wake:
            self._wake()
        return accepted

    def take(self, budget: int) -> list[Item]:
        """Remove and return frames from the front, until *budget* bytes are reached.

        The last one may exceed the budget, so that a large frame is never stuck. A note is taken
        together with the frame before it.
        """
        with self._lock:
            taken = self._queue.take(budget)
            if self._reported - self._queue.size > REPORT_STEP:
                self._report()
            self._shedding.end_if_drained()
            if not self._queue:
                self._awake = False
            return taken

    def note_shed(self, count: int) -> None:
        """Count *count* deltas that the worker has shed."""
        with self._lock:
            self._shed_elsewhere += count

    def close(self) -> None:
        """Drop all frames, and accept no more."""
        with self._lock:
            self._empty()
            if not self._closed:
                self._closed = True
                self._total.leave()

    def overflow(self) -> None:
        """Drop all frames, accept no more, and set `overflowed`."""
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
        """Report the change of the size to the backlog."""
        self._total.change(self._queue.size - self._reported)
        self._reported = self._queue.size
