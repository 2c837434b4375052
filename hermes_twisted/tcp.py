"""Accepted TCP sockets: their options, and writes that do not wait for the loop.

Small writes are sent without delay (TCP_NODELAY). The kernel detects a lost peer, but only after
`--dead-after`: it must not end a connection that the server keeps, such as that of a laptop that
sleeps for ten minutes.
"""

from __future__ import annotations

import contextlib
import math
import socket
from typing import Any, Final

from twisted.internet.tcp import Connection

#: Seconds without traffic until the first keepalive probe.
IDLE: Final = 30
#: Seconds between two probes.
INTERVAL: Final = 10
#: The most probes that Linux allows (tcp(7)).
MAX_PROBES: Final = 127
#: Seconds that the kernel waits longer than `--dead-after`, so that the server ends the link first.
MARGIN: Final = 60


def tune(transport: Any, dead_after: float) -> None:
    """Set the options of the TCP socket of *transport*, with or without TLS.

    *dead_after* is the number of seconds of silence after which the server ends a link. Other kinds
    of sockets are not changed.
    """
    sock = getattr(transport, "socket", None)
    if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    limit = math.ceil(dead_after) + MARGIN
    interval = max(INTERVAL, math.ceil((limit - IDLE) / MAX_PROBES))
    probes = max(1, math.ceil((limit - IDLE) / interval))
    _set(sock, socket.IPPROTO_TCP, "TCP_NODELAY", 1)
    _set(sock, socket.SOL_SOCKET, "SO_KEEPALIVE", 1)
    # macOS has another name for TCP_KEEPIDLE.
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"
    _set(sock, socket.IPPROTO_TCP, idle, IDLE)
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPINTVL", min(interval, 32767))
    _set(sock, socket.IPPROTO_TCP, "TCP_KEEPCNT", min(probes, MAX_PROBES))
    # Otherwise Linux gives up on unacknowledged data after a quarter of an hour, whatever
    # `dead_after` is, and probes a peer with a closed window for ever (RFC 5482).
    _set(sock, socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", min(limit * 1000, 2**31 - 1))


def _set(sock: socket.socket, level: int, name: str, value: int) -> None:
    """Set the option *name*, if the platform and the kernel have it."""
    number = getattr(socket, name, None)
    if number is not None:
        # The connection may have ended already, and not every kernel has every option.
        with contextlib.suppress(OSError):
            sock.setsockopt(level, number, value)


def write_promptly(transport: Any, data: bytes) -> None:
    """Write *data*; the bytes that the socket accepts at once are sent before this returns.

    `transport.write` would wait until the loop reports the socket as writable, which costs a turn
    of the loop and two system calls. Here only bytes that the socket did not accept wait for it.
    """
    if _is_idle(transport):
        sent = transport.writeSomeData(data)
        # Otherwise it is an error, which `transport.write` meets again and handles.
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)


def _is_idle(transport: Any) -> bool:
    """Return whether *transport* is an open socket without TLS and with an empty buffer."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        # Twisted's own buffers. Asking the reactor would cost more, the more sockets are full. If a
        # Twisted has other names, everything goes through `write`.
        and not getattr(transport, "dataBuffer", True)
        and not getattr(transport, "_tempDataBuffer", True)
    )
