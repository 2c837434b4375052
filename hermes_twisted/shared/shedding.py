"""Sheds the deltas of a slow client, and informs it."""

from __future__ import annotations

from collections.abc import Callable

from .frame_queue import EVENT, FrameQueue


class Shedding:
    """Sheds deltas of a queue above *soft* waiting bytes, until half of that waits.

    Each time, *explain* makes one frame that informs the client, in place of the first deltas. Not
    thread-safe: the outbox has the lock.
    """

    __slots__ = ("_explain", "_explained", "_queue", "_soft", "active", "count")

    def __init__(
        self, queue: FrameQueue, soft: int, explain: Callable[[], bytes] | None = None
    ) -> None:
        self._queue = queue
        self._soft = soft
        self._explain = explain
        self._explained = False
        self.active = False
        """Whether deltas are shed at the moment."""
        self.count = 0
        """The number of deltas that were shed so far."""

    def begin_if_above(self) -> None:
        """Begin to shed if more than the soft limit waits. Call it after a frame was added."""
        if self.active or self._queue.size <= self._soft:
            return
        self.active = True
        self._explained = False
        if dropped := self._queue.drop_deltas():
            self.count_shed(dropped)
        self.end_if_drained()

    def end_if_drained(self) -> None:
        """Stop if at most half of the soft limit waits. Call it after frames were taken."""
        if self.active and self._queue.size <= self._soft // 2:
            self.active = False

    def count_shed(self, count: int) -> None:
        """Count *count* deltas that were shed; inform the client of the first."""
        self.count += count
        if not self._explained and self._explain is not None:
            self._explained = True
            self._queue.append(EVENT, 0, self._explain())
