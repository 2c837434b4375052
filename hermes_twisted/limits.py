"""Every limit of the server, with its option. Sizes are in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import rpc
from .config.kinds import COUNT, SIZE, SOME_TIME
from .config.option import Group, flag, option
from .shared import backlog, lanes, outbox

KIB: Final = 1024
MIB: Final = 1024 * KIB

#: Wrong keys of one source in `FAILURE_PERIOD` seconds, after which further ones are refused.
FAILURES: Final = 10
FAILURE_PERIOD: Final = 60.0
#: Sources for which wrong keys are counted; beyond, that with the oldest last failure is dropped.
MAX_SOURCES: Final = 65_536


@dataclass(frozen=True)
class Limits:
    """Limits of one client, and of all clients together."""

    # Connections.
    ping_interval: float = option(
        20.0,
        SOME_TIME,
        group=Group.CONNECTIONS,
        help="Time between two pings of a client. Pings keep its connection open in proxies and "
        "routers, which drop idle ones after a minute or so",
        default_text="20s, half of --dead-after at most",
    )
    dead_after: float = option(
        15 * 60.0,
        SOME_TIME,
        group=Group.CONNECTIONS,
        help="Time without a byte from a client, not even a pong, after which it is disconnected",
    )
    close_timeout: float = option(
        2.0,
        SOME_TIME,
        group=Group.CONNECTIONS,
        help="Time that a client has to answer a close, and to read the data sent before it",
    )

    # Hermes' process.
    start_timeout: float = option(
        120.0,
        SOME_TIME,
        group=Group.HERMES,
        help="Time that the worker has to load Hermes, before it is killed and restarted",
    )
    shutdown_timeout: float = option(
        5.0,
        SOME_TIME,
        group=Group.HERMES,
        help="Time that Hermes has to finalise its sessions when the server stops",
    )

    # Before the key.
    handshake_timeout: float = option(
        10.0,
        SOME_TIME,
        group=Group.BEFORE_KEY,
        help="Time for a request's head, and between two requests on one socket",
    )
    max_header: int = option(
        16 * KIB, SIZE, group=Group.BEFORE_KEY, help="Bytes of a request's head"
    )
    max_header_lines: int = option(
        64,
        COUNT,
        group=Group.BEFORE_KEY,
        help="Lines of a request's head, the request line included",
    )
    max_body: int = option(64 * KIB, SIZE, group=Group.BEFORE_KEY, help="Bytes of a request's body")
    max_pending: int = option(
        256,
        COUNT,
        group=Group.BEFORE_KEY,
        help="Sockets that have shown no key yet; beyond, the oldest is dropped. At most a quarter "
        "of the process's descriptors, whatever this says",
    )
    max_failures: int = option(
        FAILURES,
        COUNT,
        group=Group.BEFORE_KEY,
        help="Wrong keys of one address in --failure-period, after which further ones are refused "
        "with 429; a correct one is always admitted",
    )
    failure_period: float = option(
        FAILURE_PERIOD,
        SOME_TIME,
        group=Group.BEFORE_KEY,
        help="Period for which wrong keys of one address are counted",
    )
    max_failure_sources: int = option(
        MAX_SOURCES,
        COUNT,
        group=Group.BEFORE_KEY,
        help="Addresses for which wrong keys are counted",
    )
    max_held: int = option(
        8, COUNT, group=Group.BEFORE_KEY, help="Refused terminal UIs in the waiting room"
    )
    max_held_per_address: int = option(
        2,
        COUNT,
        group=Group.BEFORE_KEY,
        help="Refused terminal UIs of one address in the waiting room",
    )
    hold_time: float = option(
        60.0,
        SOME_TIME,
        group=Group.BEFORE_KEY,
        help="Time that a refused terminal UI stays in the waiting room",
    )

    # Behind the key.
    max_connections: int = option(
        1024, COUNT, group=Group.BEHIND_KEY, help="Terminals attached at once"
    )
    max_connections_per_address: int = option(
        512,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Terminals attached at once from one address (for IPv6: from one /64 network)",
    )
    max_message: int = option(
        16 * MIB,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes of one message from a client, both on the wire and inflated",
    )
    max_fragments: int = option(
        131_072,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Fragments of one message from a client; empty ones count",
    )
    max_unfinished: int = option(
        64 * MIB,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Inflated bytes of the incomplete messages of all clients together",
    )
    max_pongs: int = option(
        64,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Consecutive pings of one client that are each answered; beyond, only the latest is, "
        "and a client that does not read the answers is not read either",
    )
    max_depth: int = option(
        rpc.MAX_DEPTH,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Levels that the JSON of one message may nest",
    )
    max_containers: int = option(
        rpc.MAX_CONTAINERS,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Lists and objects in one message",
    )
    max_waiting_requests: int = option(
        256,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Requests of one client that wait; beyond, its socket is not read",
    )
    max_waiting_bytes: int = option(
        16 * MIB,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes of the waiting requests of one client; beyond, its socket is not read",
    )
    max_unread: int = option(
        64 * KIB,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes that a client may leave unread before its ordinary requests wait",
    )
    max_queued_soft: int = option(
        outbox.SOFT_LIMIT,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes queued for a slow client above which streamed text is shed",
    )
    max_queued_hard: int = option(
        outbox.HARD_LIMIT,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes queued for a slow client above which it is disconnected",
    )
    max_queued_total: int = option(
        backlog.QUEUED_TOTAL,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes queued for all clients above which those with the most are disconnected",
    )
    credit_window: int = option(
        MIB,
        SIZE,
        group=Group.BEHIND_KEY,
        help="Bytes for one client that may be in transit between the worker and its socket",
    )
    max_threads: int = option(
        lanes.MAX_THREADS, COUNT, group=Group.BEHIND_KEY, help="Threads that run requests"
    )
    urgent_threads: int = option(
        lanes.RESERVED_THREADS,
        COUNT,
        group=Group.BEHIND_KEY,
        help="Threads, out of --max-threads, for urgent requests only, such as an interrupt",
        default_text=f"a quarter of --max-threads, {lanes.RESERVED_THREADS} at most",
    )
    compress: bool = flag(
        group=Group.BEHIND_KEY, help="Compress frames of 1 KiB to 1 MiB for clients that offer it"
    )
