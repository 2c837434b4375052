"""The ordered, bounded, thread-safe queue of frames to one client.

Any thread may `put`; one consumer takes. It is the only place where threads
meet the event loop (or, in the worker, the thread that feeds the front).
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import Final

from .backlog import NO_BACKLOG, Backlog

SOFT_LIMIT: Final = 8 * 1024 * 1024
HARD_LIMIT: Final = 32 * 1024 * 1024

#: Settled requests are reported in lots of this many ...
SETTLE_COUNT: Final = 32
#: ... or this many bytes: far below what a client may have waiting.
SETTLE_BYTES: Final = 2 * 1024 * 1024

#: Changes of the size are reported to the backlog of all in lots of so many bytes: everyday
#: frames come and go without touching what all clients share.
LOT: Final = 16 * 1024

#: A frame that must arrive.
EVENT: Final = 1
#: A display-only frame: a later one carries the whole text, so it may be shed.
DELTA: Final = 2
#: A frame that answers the request whose tag it bears.
ANSWER: Final = 3
#: Not for the client: a note of the worker to the front, in its place among the frames.
NOTE: Final = 4

#: One frame on its way to the client: kind, tag, JSON text. A plain tuple,
#: because one is made for every model token.
Item = tuple[int, int, bytes]


class Outbox:
    """Frames in the order of the `put` calls, with a soft and a hard limit in bytes.

    *wake* is called, in the putting thread, when something is waiting and the
    consumer is idle: once per batch, not once per frame. The consumer is idle
    when a `take` has left nothing behind. Of an overflow, and of each lot of settled
    requests, it is told even when it is not: it may wait for the client.

    Above *soft* waiting bytes, deltas are shed until the queue is half empty
    again, and the frame that *explain* makes is queued in their place. When a
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
        settle_count: int = SETTLE_COUNT,
        settle_bytes: int = SETTLE_BYTES,
        total: Backlog | None = None,
        answered: Callable[[int, bytes], None] | None = None,
    ) -> None:
        self._total = total or Backlog(sys.maxsize)
        self._total.join()
        self._wake = wake
        self._soft = soft
        self._hard = hard
        self._explain = explain
        self._answered = answered
        self._settle_count = settle_count
        self._settle_bytes = settle_bytes
        self._lock = threading.Lock()
        self._items: deque[Item] = deque()
        self._size = 0
        self._reported = 0
        self._awake = False
        self._closed = False
        self._shedding = False
        self._explained = False
        self._settled_count = 0
        self._settled_bytes = 0
        self.overflowed = False
        """True once the hard limit was hit; the client has to go."""
        self.shed = 0
        """How many deltas were left out so far."""
        self.events = 0
        """How many frames were put that answer no request."""

    @property
    def size(self) -> int:
        """Bytes that wait."""
        return self._size

    def put(self, data: bytes, kind: int = EVENT, tag: int = 0, note: bytes = b"") -> bool:
        """Queue one frame; False means that it will not arrive, nor will later ones.

        A *note* goes right behind it: they are taken together, so that no end of the
        process comes between them.
        """
        if kind == ANSWER and self._answered is not None:
            self._answered(tag, data)
        with self._lock:
            if self._closed or self.overflowed:
                return False
            self.events += kind < ANSWER
            if kind == DELTA and self._shedding:
                self._leave_out(1)
            elif self._size > self._hard or (
                self._size > NO_BACKLOG and self._total.forbids(self._size)
            ):
                self._overflow()
            else:
                self._items.append((kind, tag, data))
                self._size += len(data)
                if note:
                    self._items.append((NOTE, 0, note))
                    self._size += len(note)
                if self._size - self._reported > LOT:
                    self._report()
                if self._size > self._soft and not self._shedding:
                    self._start_shedding()
            accepted = not self.overflowed
            # An overflow is news even to a consumer that waits for the client.
            rouse = not (self._awake and accepted)
            self._awake = True
        if rouse:
            self._wake()
        return accepted

    def settle(self, size: int, count: int = 1) -> None:
        """Note that *count* waiting requests, *size* bytes together, wait no more."""
        with self._lock:
            was_due = self._settlement_due()
            self._settled_count += count
            self._settled_bytes += size
            rouse = self._settlement_due() and not (was_due or self._closed)
            if rouse:
                self._awake = True
        if rouse:
            self._wake()

    def take(self, budget: int) -> list[Item]:
        """Remove frames from the front until they make *budget* bytes or none is left.

        The last one may exceed the budget, so a large frame is never stuck; a note goes
        with the frame before it.
        """
        with self._lock:
            items = self._items
            taken: list[Item] = []
            size = 0
            while items and (size < budget or items[0][0] == NOTE):
                item = items.popleft()
                size += len(item[2])
                taken.append(item)
            self._size -= size
            if self._reported - self._size > LOT:
                self._report()
            self._stop_shedding_if_drained()
            if not items:
                self._awake = False
            return taken

    def take_settled(self) -> tuple[int, int]:
        """Remove and return how many requests, of how many bytes, were settled.

        In lots: (0, 0) until enough have come together to be worth a report.
        """
        with self._lock:
            if not self._settlement_due():
                return 0, 0
            settled = self._settled_count, self._settled_bytes
            self._settled_count = self._settled_bytes = 0
            return settled

    def note_shed(self, count: int) -> None:
        """*count* deltas were left out before they came here."""
        with self._lock:
            self.shed += count

    def close(self) -> None:
        """Drop what waits and refuse what comes."""
        with self._lock:
            self._empty()
            if not self._closed:
                self._closed = True
                self._total.leave()

    def _settlement_due(self) -> bool:
        return (
            self._settled_count >= self._settle_count or self._settled_bytes >= self._settle_bytes
        )

    def overflow(self) -> None:
        """Give up: keep nothing, and take nothing any more."""
        with self._lock:
            self._overflow()
        self._wake()

    def _overflow(self) -> None:
        self.overflowed = True
        self._empty()

    def _empty(self) -> None:
        self._items.clear()
        self._size = 0
        self._report()

    def _report(self) -> None:
        self._total.change(self._size - self._reported)
        self._reported = self._size

    def _start_shedding(self) -> None:
        self._shedding = True
        self._explained = False
        kept = deque(item for item in self._items if item[0] != DELTA)
        left_out = len(self._items) - len(kept)
        self._items = kept
        self._size = sum(len(item[2]) for item in kept)
        self._report()
        if left_out:
            self._leave_out(left_out)
        self._stop_shedding_if_drained()

    def _leave_out(self, count: int) -> None:
        self.shed += count
        if not self._explained and self._explain is not None:
            self._explained = True
            data = self._explain()
            self._items.append((EVENT, 0, data))
            self._size += len(data)
            self._report()

    def _stop_shedding_if_drained(self) -> None:
        if self._shedding and self._size <= self._soft // 2:
            self._shedding = False
