"""Bytes that wait for all clients together: one sum over all outboxes."""

from __future__ import annotations

import threading
from typing import Final

QUEUED_TOTAL: Final = 256 * 1024 * 1024
#: Below this nothing counts as a backlog: an ordinary burst.
NO_BACKLOG: Final = 64 * 1024


class Backlog:
    """Shared by the outboxes of one process, whose threads call it.

    While the sum is above *limit*, whoever adds to more than its share of it has to
    go. As the sum is above the limit, somebody has more than the share; a client that
    reads has less, and stays. So the sum stays below twice the limit.
    """

    def __init__(self, limit: int = QUEUED_TOTAL) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._used = 0
        self._members = 0

    @property
    def used(self) -> int:
        """Bytes that wait, over all members."""
        return self._used

    def join(self) -> None:
        """One more outbox."""
        with self._lock:
            self._members += 1

    def leave(self) -> None:
        """One outbox less; it has given back what it used."""
        with self._lock:
            self._members -= 1

    def change(self, size: int) -> None:
        """*size* bytes more wait, or less."""
        with self._lock:
            self._used += size

    def forbids(self, backlog: int) -> bool:
        """Whether who has so many bytes waiting may not add to them."""
        if self._used <= self._limit:
            return False
        return backlog > max(NO_BACKLOG, self._limit // max(1, self._members))
