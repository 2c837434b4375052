"""Every limit of the server, with its default. All sizes in bytes, times in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import budget, lanes, nesting, outbox

KIB: Final = 1024
MIB: Final = 1024 * KIB


@dataclass(frozen=True)
class Limits:
    """What one client, and all together, may use."""

    max_message: int = 16 * MIB
    """One message from a client, on the wire and inflated."""
    max_fragments: int = 131_072
    """Fragments of one message; empty ones count."""
    waiting_requests: int = 256
    """Requests of one client that wait; beyond, its socket is not read."""
    waiting_bytes: int = 16 * MIB
    """The same, in bytes."""
    max_depth: int = nesting.MAX_DEPTH
    """How deep the JSON of one message may nest."""
    max_containers: int = nesting.MAX_CONTAINERS
    """Lists and objects in one message."""
    hold_above: int = 64 * KIB
    """While a slow client has more than this to read, its ordinary requests wait."""
    soft: int = outbox.SOFT_LIMIT
    """Bytes queued for one client above which display-only frames are shed."""
    hard: int = outbox.HARD_LIMIT
    """Bytes queued for one client above which it is disconnected."""
    queued_total: int = budget.QUEUED_TOTAL
    """Bytes queued for all clients above which those with the most are disconnected."""
    window: int = MIB
    """Bytes of one client on their way between worker and socket."""
    threads: int = lanes.MAX_THREADS
    """Threads that run requests."""
    urgent_threads: int = lanes.RESERVED_THREADS
    """How many of these only urgent requests may use."""
    connections: int = 1024
    """Open WebSockets."""
    pending: int = 256
    """Sockets that have shown no key yet; beyond, the oldest is dropped."""
    handshake: float = 10.0
    """Time for a request's head and between requests on one socket."""
    body: int = 64 * KIB
    """A request's body."""
    dead_after: float = 15 * 60.0
    """Silence, not even a pong, after which a client counts as gone."""
    close: float = 2.0
    """Time that a client has to answer a close frame."""

    def outbox(
        self,
        wake: Callable[[], None],
        explain: Callable[[], bytes] | None = None,
        shared: budget.Budget | None = None,
    ) -> outbox.Outbox:
        """An outbox within these limits; *shared* with the other clients of a backend."""
        return outbox.Outbox(
            wake,
            soft=self.soft,
            hard=self.hard,
            explain=explain,
            settle_count=self.settle_count,
            settle_bytes=self.settle_bytes,
            budget=shared,
        )

    @property
    def settle_count(self) -> int:
        """Settled requests per report; small against `waiting_requests`."""
        return max(1, min(outbox.SETTLE_COUNT, self.waiting_requests // 8))

    @property
    def settle_bytes(self) -> int:
        """Settled bytes per report; small against `waiting_bytes`."""
        return max(1, min(outbox.SETTLE_BYTES, self.waiting_bytes // 8))
