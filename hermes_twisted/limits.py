"""Every limit of the server, with its option. All sizes in bytes, times in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from . import rpc
from .config.kinds import COUNT, SIZE, SOME_TIME
from .config.option import Group, flag, option
from .shared import backlog, lanes, outbox

KIB: Final = 1024
MIB: Final = 1024 * KIB

#: Wrong keys from one source, within this many seconds, after which further ones get 429.
FAILURES: Final = 10
FAILURE_PERIOD: Final = 60.0
#: Sources whose wrong keys are counted; beyond, the one that was quiet longest is forgotten.
MAX_SOURCES: Final = 65_536


@dataclass(frozen=True)
class Limits:
    """Limits of one client, and of all clients together."""

    # Connections.
    ping_interval: float = option(
        20.0,
        SOME_TIME,
        group=Group.CONNECTIONS,
        help="Time between two pings of a client. They keep its connection open in proxies and "
        "routers, many of which drop a quiet one after a minute",
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
        help="Time that a client has to answer a closing handshake, and to read what was sent "
        "before it; then the connection is dropped",
    )

    # Hermes' process.
    start_timeout: float = option(
        120.0,
        SOME_TIME,
        group=Group.HERMES,
        help="Time that the worker has to load Hermes; then it is ended and started again",
    )
    shutdown_timeout: float = option(
        5.0,
        SOME_TIME,
        group=Group.HERMES,
        help="Time that Hermes has to finalise its sessions when the server stops",
    )

    # Before admission.
    handshake_timeout: float = option(
        10.0,
        SOME_TIME,
        group=Group.BEFORE_ADMISSION,
        help="Time in which a request's head has to arrive, also the next one on the same "
        "connection; then the connection is closed",
    )
    max_header: int = option(
        16 * KIB,
        SIZE,
        group=Group.BEFORE_ADMISSION,
        help="Bytes of a request's head; a longer one is refused with 431",
    )
    max_header_lines: int = option(
        64,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Lines of a request's head, with the request line; a longer one is refused with 431",
    )
    max_body: int = option(
        64 * KIB,
        SIZE,
        group=Group.BEFORE_ADMISSION,
        help="Bytes of a request's body; a longer one is refused with 413",
    )
    max_pending: int = option(
        256,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Connections that have not shown a key yet; beyond, the oldest is dropped. Never more "
        "than a quarter of the process's file descriptors",
    )
    max_failures: int = option(
        FAILURES,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Wrong keys of one address in --failure-period, after which further ones are refused "
        "with 429; a correct one is always accepted",
    )
    failure_period: float = option(
        FAILURE_PERIOD,
        SOME_TIME,
        group=Group.BEFORE_ADMISSION,
        help="Time from the first wrong key of an address in which --max-failures are counted",
    )
    max_failure_sources: int = option(
        MAX_SOURCES,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Addresses for which wrong keys are counted; beyond, the one that was quiet longest "
        "is forgotten",
    )
    max_held: int = option(
        8,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Refused terminal UIs in the waiting room at once; others get the refusal over HTTP "
        "alone",
    )
    max_held_per_address: int = option(
        2,
        COUNT,
        group=Group.BEFORE_ADMISSION,
        help="Refused terminal UIs from one address in the waiting room at once",
    )
    hold_time: float = option(
        60.0,
        SOME_TIME,
        group=Group.BEFORE_ADMISSION,
        help="Time that a refused terminal UI stays in the waiting room",
    )

    # Of admitted clients.
    max_connections: int = option(
        1024,
        COUNT,
        group=Group.ADMITTED,
        help="Terminals attached at once; further ones are refused with 503",
    )
    max_connections_per_address: int = option(
        512,
        COUNT,
        group=Group.ADMITTED,
        help="Terminals attached at once from one address (of IPv6: one /64 network); further ones "
        "are refused with 503",
    )
    max_message: int = option(
        16 * MIB,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes of one message from a client, on the wire and inflated; with a larger one its "
        "connection is closed",
    )
    max_fragments: int = option(
        131_072,
        COUNT,
        group=Group.ADMITTED,
        help="Fragments of one message from a client, empty ones included; with more its "
        "connection is closed",
    )
    max_unfinished: int = option(
        64 * MIB,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes of unfinished messages of all clients together, inflated; the client whose "
        "message exceeds them is disconnected",
    )
    max_pongs: int = option(
        64,
        COUNT,
        group=Group.ADMITTED,
        help="Pings of one client in a row that are each answered; beyond, only the latest is "
        "answered, and the socket of a client that does not read is not read",
    )
    max_depth: int = option(
        rpc.MAX_DEPTH,
        COUNT,
        group=Group.ADMITTED,
        help="Nesting of lists and objects in one message; a deeper one is refused",
    )
    max_containers: int = option(
        rpc.MAX_CONTAINERS,
        COUNT,
        group=Group.ADMITTED,
        help="Lists and objects in one message; one with more is refused",
    )
    max_waiting_requests: int = option(
        256,
        COUNT,
        group=Group.ADMITTED,
        help="Requests of one client that wait to be run; beyond, its socket is not read",
    )
    max_waiting_bytes: int = option(
        16 * MIB,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes of one client's waiting requests; beyond, its socket is not read",
    )
    max_unread: int = option(
        64 * KIB,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes that a client may leave unread; beyond, its requests wait, but for urgent ones",
    )
    max_queued_soft: int = option(
        outbox.SOFT_LIMIT,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes queued for a slow client; beyond, parts of the live text are left out",
    )
    max_queued_hard: int = option(
        outbox.HARD_LIMIT,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes queued for a slow client; beyond, it is disconnected",
    )
    max_queued_total: int = option(
        backlog.QUEUED_TOTAL,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes queued for all clients together; beyond, those with the most are disconnected",
    )
    credit_window: int = option(
        MIB,
        SIZE,
        group=Group.ADMITTED,
        help="Bytes for one client that may be under way from the worker to its socket; beyond, "
        "they wait in the worker",
    )
    max_threads: int = option(
        lanes.MAX_THREADS, COUNT, group=Group.ADMITTED, help="Threads that run clients' requests"
    )
    urgent_threads: int = option(
        lanes.RESERVED_THREADS,
        COUNT,
        group=Group.ADMITTED,
        help="Threads of --max-threads that only urgent requests may use, such as an interrupt",
        default_text=f"a quarter of --max-threads, {lanes.RESERVED_THREADS} at most",
    )
    compress: bool = flag(
        group=Group.ADMITTED, help="Compress frames of 1 KiB to 1 MiB for clients that offer it"
    )
