"""Every limit of the server, with its default. All sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import rpc
from .shared import backlog, lanes, outbox

KIB: Final = 1024
MIB: Final = 1024 * KIB


#: Wrong keys from one source, in this many seconds, after which more are not looked at.
FAILURES: Final = 10
FAILURE_PERIOD: Final = 60.0
#: Sources that are remembered; beyond, the one that was quiet longest is forgotten.
MAX_SOURCES: Final = 65_536


@dataclass(frozen=True)
class Limits:
    """What one client, and all together, may use."""

    max_message: int = 16 * MIB
    """One message from a client, on the wire and inflated."""
    max_fragments: int = 131_072
    """Fragments of one message; empty ones count."""
    max_unfinished: int = 64 * MIB
    """Unfinished messages of all clients together, inflated."""
    max_pongs: int = 64
    """Pings in a row that are each answered; beyond, only the latest is, and a client
    that does not read is not read either."""
    compress: bool = False
    """Whether compression is agreed to with clients that offer it."""
    max_waiting_requests: int = 256
    """Requests of one client that wait; beyond, its socket is not read."""
    max_waiting_bytes: int = 16 * MIB
    """The same, in bytes."""
    max_depth: int = rpc.MAX_DEPTH
    """How deep the JSON of one message may nest."""
    max_containers: int = rpc.MAX_CONTAINERS
    """Lists and objects in one message."""
    max_unread: int = 64 * KIB
    """While a slow client has more than this to read, its ordinary requests wait."""
    max_queued_soft: int = outbox.SOFT_LIMIT
    """Bytes queued for one client above which display-only frames are shed."""
    max_queued_hard: int = outbox.HARD_LIMIT
    """Bytes queued for one client above which it is disconnected."""
    max_queued_total: int = backlog.QUEUED_TOTAL
    """Bytes queued for all clients above which those with the most are disconnected."""
    credit_window: int = MIB
    """Bytes of one client on their way between worker and socket."""
    max_threads: int = lanes.MAX_THREADS
    """Threads that run requests."""
    urgent_threads: int = lanes.RESERVED_THREADS
    """How many of these only urgent requests may use."""
    max_connections: int = 1024
    """Open WebSockets."""
    max_connections_per_address: int = 512
    """The same, of one address (of IPv6: one /64 network)."""
    max_held: int = 8
    """Refused terminal UIs that are told why in the waiting room."""
    max_held_per_address: int = 2
    """The same, of one address."""
    hold_time: float = 60.0
    """How long each is held."""
    max_failures: int = FAILURES
    """Wrong keys of one address, after which more are refused unlooked-at for a while."""
    failure_period: float = FAILURE_PERIOD
    """That while, from the first of them on."""
    max_failure_sources: int = MAX_SOURCES
    """Addresses that are remembered for it."""
    max_pending: int = 256
    """Sockets that have shown no key yet; beyond, the oldest is dropped. At most a quarter
    of the process's descriptors, whatever this says."""
    handshake_timeout: float = 10.0
    """Time for a request's head and between requests on one socket."""
    max_header: int = 16 * KIB
    """A request's head."""
    max_header_lines: int = 64
    """Its lines, the request line included."""
    max_body: int = 64 * KIB
    """A request's body."""
    ping_interval: float = 20.0
    """Pause between two pings of a client: proxies and routers forget quiet connections
    after a minute or so."""
    dead_after: float = 15 * 60.0
    """Silence, not even a pong, after which a client counts as gone."""
    close_timeout: float = 2.0
    """Time that a client has to answer a close frame."""
