"""The doctor's network: blocking calls, each with a time limit.

Failures raise `OSError` (`ssl.SSLError` is one) or `http.NotHttp`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from . import http

_READ: Final = 65536


@dataclass(frozen=True)
class Address:
    """A socket address and its family."""

    family: int
    sockaddr: tuple[object, ...] | str

    def __str__(self) -> str:
        return self.sockaddr if isinstance(self.sockaddr, str) else str(self.sockaddr[0])


class Stream(Protocol):
    """A connection, such as a `socket.socket`."""

    def sendall(self, data: bytes, /) -> None: ...  # noqa: D102
    def recv(self, size: int, /) -> bytes: ...  # noqa: D102
    def settimeout(self, seconds: float | None, /) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Network(Protocol):
    """The operations that the checks need."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """Return the addresses of a name, in the order in which to try them."""

    def connect(self, address: Address, timeout: float) -> Stream:
        """Open a connection over TCP or to a Unix socket."""

    def secure(self, stream: Stream, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Begin TLS on *stream*; *context* says how certificates are checked."""

    def now(self) -> float:
        """Return a monotonic time in seconds."""


class RealNetwork:
    """The network of this machine."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """Resolve *host* with the system's resolver."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(Address(row[0], row[4]) for row in found))

    def connect(self, address: Address, timeout: float) -> Stream:
        """Connect a blocking socket with this timeout."""
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.settimeout(timeout)
        try:
            sock.connect(address.sockaddr)
            if address.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            raise
        return sock

    def secure(self, stream: Stream, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """Begin TLS on a socket, with *name* as the server's name."""
        assert isinstance(stream, socket.socket)
        return context.wrap_socket(stream, server_hostname=name)

    def now(self) -> float:
        """Return `time.monotonic`."""
        return time.monotonic()


#: Opens a new connection, over which HTTP is spoken next.
Dial = Callable[[], Stream]


def exchange(stream: Stream, request: bytes) -> tuple[http.HttpResponse, bytes]:
    """Send a request; return the response's head, and the bytes that came after it."""
    stream.sendall(request)
    data = b""
    while (split := http.split_head(data)) is None:
        more = stream.recv(_READ)
        if not more:
            if data:
                raise http.NotHttp(data[:80])
            raise ConnectionResetError("closed without an answer")
        data += more
    return split


def read_body(stream: Stream, response: http.HttpResponse, began: bytes) -> http.HttpResponse:
    """Return the response with its body, up to `MAX_BODY` bytes; *began* has its first ones."""
    declared = response.header("content-length")
    length = min(int(declared), http.MAX_BODY) if declared.isdecimal() else http.MAX_BODY
    body = began
    # The status is enough if the body does not come.
    with contextlib.suppress(OSError):
        while len(body) < length and (more := stream.recv(_READ)):
            body += more
    return http.HttpResponse(response.status, response.phrase, response.headers, body[:length])


def fetch(dial: Dial, host: str, path: str, accept: str = "*/*") -> http.HttpResponse | None:
    """Return the response to a GET request, None if there is none."""
    try:
        stream = dial()
    except OSError:
        return None
    with contextlib.closing(stream):
        try:
            response, rest = exchange(stream, http.get(host, path, accept))
        except (OSError, http.NotHttp):
            return None
        return read_body(stream, response, rest)
