"""A rate limit that counts what it refuses."""

from __future__ import annotations

from collections.abc import Callable


class Quota:
    """Allows *count* uses in every *period* seconds. *now* is a monotonic clock, in seconds."""

    def __init__(self, count: int, period: float, now: Callable[[], float]) -> None:
        self._count = count
        self._period = period
        self._now = now
        self._began = now()
        self._spent = 0
        self._missed = 0

    def spend(self) -> bool:
        """Use the quota once; return False, and count it as missed, if none is left."""
        if self._now() - self._began >= self._period:
            self._began = self._now()
            self._spent = 0
        if self._spent >= self._count:
            self._missed += 1
            return False
        self._spent += 1
        return True

    def take_missed(self) -> int:
        """Return how many uses were refused since the last call."""
        missed, self._missed = self._missed, 0
        return missed
