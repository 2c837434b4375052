"""How many requests no longer wait, reported by the threads that run them in lots."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

#: Settled requests in a lot ...
LOT_COUNT: Final = 32
#: ... or their bytes: both far below what a client may have waiting.
LOT_BYTES: Final = 2 * 1024 * 1024


class Settlements:
    """Adds up the settled requests of one client until they make a lot. Thread-safe.

    *wake* is called, in the settling thread, once for each lot.
    """

    def __init__(
        self, wake: Callable[[], None], *, count: int = LOT_COUNT, size: int = LOT_BYTES
    ) -> None:
        """A lot is complete with *count* requests, or *size* bytes of them."""
        self._wake = wake
        self._lot_count = count
        self._lot_size = size
        self._lock = threading.Lock()
        self._count = 0
        self._size = 0
        self._closed = False

    def settle(self, size: int, count: int = 1) -> None:
        """Add *count* requests, *size* bytes together, that no longer wait."""
        with self._lock:
            was_due = self._is_due()
            self._count += count
            self._size += size
            completed = self._is_due() and not (was_due or self._closed)
        if completed:
            self._wake()

    def take(self) -> tuple[int, int]:
        """Remove and return how many requests, of how many bytes, were settled.

        Returns (0, 0) until a lot is complete.
        """
        with self._lock:
            if not self._is_due():
                return 0, 0
            settled = self._count, self._size
            self._count = self._size = 0
            return settled

    def close(self) -> None:
        """Call *wake* no more: the client has gone."""
        with self._lock:
            self._closed = True

    def _is_due(self) -> bool:
        return self._count >= self._lot_count or self._size >= self._lot_size
