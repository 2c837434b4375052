"""Every limit of the server, with its default. All sizes in bytes, times in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from . import lanes, outbox, sources

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
    hold_above: int = 64 * KIB
    """While a slow client has more than this to read, its ordinary requests wait."""
    soft: int = outbox.SOFT_LIMIT
    """Bytes queued for one client above which display-only frames are shed."""
    hard: int = outbox.HARD_LIMIT
    """Bytes queued for one client above which it is disconnected."""
    window: int = MIB
    """Bytes of one client on their way between worker and socket."""
    threads: int = lanes.MAX_THREADS
    """Threads that run requests."""
    urgent_threads: int = lanes.RESERVED_THREADS
    """How many of these only urgent requests may use."""
    connections: int = 1024
    """Open WebSockets."""
    connections_of_source: int = 512
    """The same, of one address (of IPv6: one /64 network)."""
    held: int = 8
    """Refused terminal UIs that are told why in the waiting room."""
    held_of_source: int = 2
    """The same, of one address."""
    hold: float = 60.0
    """How long each is held."""
    failures: int = sources.FAILURES
    """Wrong keys of one address, after which more are refused unlooked-at for a while."""
    failure_period: float = sources.FAILURE_PERIOD
    """That while, from the first of them on."""
    failure_sources: int = sources.MAX_SOURCES
    """Addresses that are remembered for it."""
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
        answered: Callable[[int, bytes], None] | None = None,
    ) -> outbox.Outbox:
        """An outbox within these limits."""
        return outbox.Outbox(
            wake,
            soft=self.soft,
            hard=self.hard,
            explain=explain,
            settle_count=self.settle_count,
            settle_bytes=self.settle_bytes,
            answered=answered,
        )

    @property
    def settle_count(self) -> int:
        """Settled requests per report; small against `waiting_requests`."""
        return max(1, min(outbox.SETTLE_COUNT, self.waiting_requests // 8))

    @property
    def settle_bytes(self) -> int:
        """Settled bytes per report; small against `waiting_bytes`."""
        return max(1, min(outbox.SETTLE_BYTES, self.waiting_bytes // 8))
