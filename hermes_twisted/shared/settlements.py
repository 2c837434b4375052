"""Counts settled requests, which the threads that run them report in batches."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

#: The default size of a batch: requests ...
BATCH_COUNT: Final = 32
#: ... or bytes of requests. Both are much smaller than the default request window.
BATCH_BYTES: Final = 2 * 1024 * 1024


class Settlements:
    """Adds up the settled requests of one client until they make a batch. Thread-safe.

    *wake* is called, in the settling thread, once for each batch.
    """

    __slots__ = ("_batch_count", "_batch_size", "_closed", "_count", "_lock", "_size", "_wake")

    def __init__(
        self, wake: Callable[[], None], *, count: int = BATCH_COUNT, size: int = BATCH_BYTES
    ) -> None:
        """A batch is complete with *count* requests, or with *size* bytes of them."""
        self._wake = wake
        self._batch_count = count
        self._batch_size = size
        self._lock = threading.Lock()
        self._count = 0
        self._size = 0
        self._closed = False

    def settle(self, size: int, count: int = 1) -> None:
        """Add *count* settled requests of *size* bytes together."""
        with self._lock:
            was_due = self._is_due()
            self._count += count
            self._size += size
            completed = self._is_due() and not (was_due or self._closed)
        if completed:
            self._wake()

    def take(self) -> tuple[int, int]:
        """Return the number and the bytes of the settled requests since the last call.

        Returns (0, 0) until a batch is complete.
        """
        with self._lock:
            if not self._is_due():
                return 0, 0
            settled = self._count, self._size
            self._count = self._size = 0
            return settled

    def close(self) -> None:
        """Never call *wake* again, because the client has disconnected for good."""
        with self._lock:
            self._closed = True

    def _is_due(self) -> bool:
        return self._count >= self._batch_count or self._size >= self._batch_size
