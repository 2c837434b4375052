"""At most so many of something in so much time: what goes beyond is counted instead."""

from __future__ import annotations

from collections.abc import Callable


class Quota:
    """Lets *count* through in every *period* seconds of *now*."""

    def __init__(self, count: int, period: float, now: Callable[[], float]) -> None:
        self._count = count
        self._period = period
        self._now = now
        self._began = now()
        self._spent = 0
        self._missed = 0

    def spend(self) -> bool:
        """Whether one more is within the quota."""
        if self._now() - self._began >= self._period:
            self._began = self._now()
            self._spent = 0
        if self._spent >= self._count:
            self._missed += 1
            return False
        self._spent += 1
        return True

    def take_missed(self) -> int:
        """How many went beyond since this was last asked."""
        missed, self._missed = self._missed, 0
        return missed
