"""The request window: limits the waiting requests of one client."""

from __future__ import annotations

from ..limits import Limits


class RequestWindow:
    """Counts a client's waiting requests, in number and in bytes.

    A request waits from its arrival until Hermes begins to run it: submitted to the backend, or
    deferred in the front while the client does not read its answers. The client's socket is not
    read when the window is full, and read again when half of it is free.
    """

    __slots__ = (
        "_deferred",
        "_deferred_bytes",
        "_max_bytes",
        "_max_count",
        "_submitted",
        "_submitted_bytes",
    )

    def __init__(self, limits: Limits) -> None:
        self._max_count = limits.max_waiting_requests
        self._max_bytes = limits.max_waiting_bytes
        self._submitted = 0
        self._submitted_bytes = 0
        self._deferred = 0
        self._deferred_bytes = 0

    @property
    def count(self) -> int:
        """The number of waiting requests."""
        return self._submitted + self._deferred

    @property
    def is_full(self) -> bool:
        """Whether the client's socket must be paused."""
        return self._fills(self._max_count, self._max_bytes)

    @property
    def is_half_free(self) -> bool:
        """Whether a paused socket may be resumed."""
        return not self._fills(self._max_count * 0.5, self._max_bytes * 0.5)

    def submit(self, size: int) -> None:
        """Count a request of *size* bytes that was submitted to the backend."""
        self._submitted += 1
        self._submitted_bytes += size

    def settle(self, count: int, size: int) -> None:
        """Uncount *count* settled requests, of *size* bytes together."""
        self._submitted -= count
        self._submitted_bytes -= size

    def defer(self, size: int) -> None:
        """Count a deferred request or answer of *size* bytes."""
        self._deferred += 1
        self._deferred_bytes += size

    def release(self, size: int) -> None:
        """Uncount a deferred request or answer of *size* bytes."""
        self._deferred -= 1
        self._deferred_bytes -= size

    def forget_deferred(self) -> None:
        """Uncount all deferred requests and answers."""
        self._deferred = self._deferred_bytes = 0

    def _fills(self, count: float, size: float) -> bool:
        """Return whether *count* requests or *size* bytes of them wait."""
        return (
            self._submitted + self._deferred >= count
            or self._submitted_bytes + self._deferred_bytes >= size
        )
