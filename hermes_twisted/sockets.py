"""Options of accepted TCP sockets: small frames go at once, a lost peer is noticed in time.

In time means: not before `--dead-after`. The kernel must not end what the service would
keep (design, law 1): a laptop that sleeps for ten minutes comes back to its connection.
"""

from __future__ import annotations

import contextlib
import math
import socket
from typing import Any, Final

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
