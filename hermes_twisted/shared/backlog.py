"""The bytes that wait for all clients of a process together, over all outboxes."""

from __future__ import annotations

import threading
from typing import Final

QUEUED_TOTAL: Final = 256 * 1024 * 1024
#: Below so many bytes a single outbox has no backlog, but an ordinary burst.
NO_BACKLOG: Final = 64 * 1024


class Backlog:
    """The sum over the outboxes of one process. Thread-safe.

    While the sum is above *limit*, an outbox that holds more than an equal share of the
    limit may not grow, and its client is disconnected. A client that reads holds less and
    stays. So the sum stays below twice the limit.
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
        """Count one more outbox."""
        with self._lock:
            self._members += 1

    def leave(self) -> None:
        """Count one outbox less. It has reported 0 bytes before."""
        with self._lock:
            self._members -= 1

    def change(self, size: int) -> None:
        """Add *size* bytes to the sum; negative to remove some."""
        with self._lock:
            self._used += size

    def forbids(self, backlog: int) -> bool:
        """Return whether an outbox with so many waiting bytes may not grow."""
        if self._used <= self._limit:
            return False
        return backlog > max(NO_BACKLOG, self._limit // max(1, self._members))
