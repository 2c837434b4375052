"""The backlog: bytes that wait in all outboxes of a process together."""

from __future__ import annotations

import threading
from typing import Final

#: The default limit, in bytes.
QUEUED_TOTAL: Final = 256 * 1024 * 1024
#: An outbox with fewer bytes may always grow: an ordinary burst is no backlog.
NO_BACKLOG: Final = 64 * 1024


class Backlog:
    """The sum of the waiting bytes of the outboxes of one process. Thread-safe.

    While the sum is above *limit* bytes, an outbox with more than an equal share of the limit may
    not grow, and its client is disconnected. The outbox of a client that reads has less. So the sum
    stays below twice the limit.
    """

    def __init__(self, limit: int = QUEUED_TOTAL) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._used = 0
        self._members = 0

    @property
    def used(self) -> int:
        """Bytes that wait in all outboxes."""
        return self._used

    def join(self) -> None:
        """Count one more outbox."""
        with self._lock:
            self._members += 1

    def leave(self) -> None:
        """Count one outbox less, which must have removed its bytes."""
        with self._lock:
            self._members -= 1

    def change(self, size: int) -> None:
        """Add *size* bytes to the sum, or remove some if it is negative."""
        with self._lock:
            self._used += size

    def forbids(self, size: int) -> bool:
        """Return whether an outbox with *size* waiting bytes may not grow."""
        if self._used <= self._limit:
            return False
        return size > max(NO_BACKLOG, self._limit // max(1, self._members))
