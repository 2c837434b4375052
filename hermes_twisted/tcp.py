"""Accepted TCP sockets: their options, and how to write to one at once.

Small frames go at once, a lost peer is noticed in time: not before `--dead-after`. The
kernel must not end what the service would keep (design, law 1): a laptop that sleeps for
ten minutes comes back to its connection.
"""

from __future__ import annotations

import contextlib
import math
import socket
from typing import Any, Final

from twisted.internet.tcp import Connection

#: Seconds without traffic, after which the kernel asks whether the peer is there, and
#: between two questions.
IDLE: Final = 30
INTERVAL: Final = 10
#: The most questions that Linux counts (tcp(7)).
MAX_PROBES: Final = 127
#: The kernel waits this much longer, in seconds, so that it is the service that ends a link.
MARGIN: Final = 60


def tune(transport: Any, dead_after: float) -> None:
    """Set the options of the socket under *transport*, TLS or not. Others stay as they are."""
    sock = getattr(transport, "socket", None)
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    limit = math.ceil(dead_after) + MARGIN
    interval = max(INTERVAL, math.ceil((limit - IDLE) / MAX_PROBES))
    probes = max(1, math.ceil((limit - IDLE) / interval))
    _set(sock, socket.IPPROTO_TCP, "TCP_NODELAY", 1)
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    # macOS has the first under another name.
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    _set(sock, socket.IPPROTO_TCP, idle, IDLE)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", min(interval, 32767))
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPCNT", min(probes, MAX_PROBES))
    # Else Linux gives up what was sent and not acknowledged after a quarter of an hour, whatever
    # `dead_after` is, and asks a peer whose window is shut for ever (RFC 5482).
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", min(limit * 1000, 2**31 - 1))


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    number = getattr(socket, name, None)
    if number is not None:
        # A peer that has gone already is seen soon enough; a kernel without an option has another.
        with contextlib.suppress(OSError):
            sock.setsockopt(level, number, value)


def write_promptly(transport: Any, data: bytes) -> None:
    """Like `write`, but what the socket takes at once has gone when this returns.

    Twisted asks the loop first whether a socket takes more, which costs a turn of the
    loop and two system calls. Here it is asked only for what the socket did not take.
    """
    if _is_idle(transport):
        sent = transport.writeSomeData(data)
        # Else an error, which the loop meets again, and handles.
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)


def _is_idle(transport: Any) -> bool:
    """Whether it is a plain socket, open, with nothing in Twisted's buffer."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        # What Twisted has taken and not written: to ask the reactor costs more the more sockets
        # are full. A Twisted without these names gets the plain way.
        and not getattr(transport, "dataBuffer", True)
        and not getattr(transport, "_tempDataBuffer", True)
    )
