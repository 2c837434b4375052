"""How many requests of one client may wait, and how many do."""

from __future__ import annotations

from ..limits import Limits


class RequestWindow:
    """Counts a client's requests that wait, in number and in bytes.

    A request waits from its arrival until Hermes begins to run it: in the backend, or, as
    long as the client does not read its answers, deferred in the front. When the window is
    full the client's socket is not read; when half of it is free it is read again.
    """

    def __init__(self, limits: Limits) -> None:
        self._max_count = limits.max_waiting_requests
        self._max_bytes = limits.max_waiting_bytes
        self._submitted = 0
        self._submitted_bytes = 0
        self._deferred = 0
        self._deferred_bytes = 0

    @property
    def count(self) -> int:
        """Requests that wait."""
        return self._submitted + self._deferred

    @property
    def is_full(self) -> bool:
        """Whether nothing more of the client is to be read."""
        return self._fills(self._max_count, self._max_bytes)

    @property
    def is_half_free(self) -> bool:
        """Whether a paused client is to be read again."""
        return not self._fills(self._max_count * 0.5, self._max_bytes * 0.5)

    def submit(self, size: int) -> None:
        """Count a request of *size* bytes that the backend has got."""
        self._submitted += 1
        self._submitted_bytes += size

    def settle(self, count: int, size: int) -> None:
        """Hermes has begun to run *count* submitted requests of *size* bytes together."""
        self._submitted -= count
        self._submitted_bytes -= size

    def defer(self, size: int) -> None:
        """Count a deferred message of *size* bytes."""
        self._deferred += 1
        self._deferred_bytes += size

    def release(self, size: int) -> None:
        """A deferred message of *size* bytes is deferred no longer."""
        self._deferred -= 1
        self._deferred_bytes -= size

    def forget_deferred(self) -> None:
        """All deferred messages are void."""
        self._deferred = self._deferred_bytes = 0

    def _fills(self, count: float, size: float) -> bool:
        return (
            self._submitted + self._deferred >= count
            or self._submitted_bytes + self._deferred_bytes >= size
        )
