"""When a slow client's live text is left out, and when it is told so."""

from __future__ import annotations

from collections.abc import Callable

from .frame_queue import EVENT, FrameQueue


class Shedding:
    """Leaves deltas out of a queue from *soft* waiting bytes on, until half of that waits.

    In the place of what is left out first stands one frame, made by *explain*, that tells
    the client. Not thread-safe: its owner holds a lock.
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
        """Whether deltas are left out at the moment."""
        self.count = 0
        """How many deltas were left out so far."""

    def begin_if_above(self) -> None:
        """After a frame was added: begin to shed if more than the soft limit waits."""
        if self.active or self._queue.size <= self._soft:
            return
        self.active = True
        self._explained = False
        if dropped := self._queue.drop_deltas():
            self.leave_out(dropped)
        self.end_if_drained()

    def end_if_drained(self) -> None:
        """After frames were taken: stop shedding if half of the soft limit or less waits."""
        if self.active and self._queue.size <= self._soft // 2:
            self.active = False

    def leave_out(self, count: int) -> None:
        """Count *count* deltas that were left out, and tell the client once."""
        self.count += count
        if not self._explained and self._explain is not None:
            self._explained = True
            self._queue.append(EVENT, 0, self._explain())
