"""The network as the doctor sees it: a few blocking calls, each with a time limit.

What fails raises `OSError` (`ssl.SSLError` is one), or `http.NotHttp`.
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
    """Where a name leads to."""

    family: int
    sockaddr: tuple[object, ...] | str

    def __str__(self) -> str:
        return self.sockaddr if isinstance(self.sockaddr, str) else str(self.sockaddr[0])


class Stream(Protocol):
    """A connection, as `socket.socket` is one."""

    def sendall(self, data: bytes, /) -> None: ...  # noqa: D102
    def recv(self, size: int, /) -> bytes: ...  # noqa: D102
    def settimeout(self, seconds: float | None, /) -> None: ...  # noqa: D102
    def close(self) -> None: ...  # noqa: D102


class Network(Protocol):
    """What the checks ask of the network."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a name, in the order in which they should be tried."""

    def connect(self, address: Address, timeout: float) -> Stream:
        """A TCP connection, or one to a Unix socket."""

    def secure(self, stream: Stream, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        """TLS over it, checked as *context* says."""

    def now(self) -> float:
        """Seconds, monotonic."""


class RealNetwork:
    """The machine's own."""

    def resolve(self, host: str, port: int) -> list[Address]:
        """See `Network`."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return list(dict.fromkeys(Address(row[0], row[4]) for row in found))

    def connect(self, address: Address, timeout: float) -> Stream:
        """See `Network`."""
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
        """See `Network`."""
        assert isinstance(stream, socket.socket)
        return context.wrap_socket(stream, server_hostname=name)

    def now(self) -> float:
        """See `Network`."""
        return time.monotonic()


#: Makes a new connection, up to where HTTP begins.
Dial = Callable[[], Stream]


def exchange(stream: Stream, request: bytes) -> tuple[http.HttpResponse, bytes]:
    """Send a request and read the head of the answer; and what came with it already."""
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
    """The response with its body, as far as it comes and is of interest."""
    declared = response.header("content-length")
    length = min(int(declared), http.MAX_BODY) if declared.isdecimal() else http.MAX_BODY
    body = began
    # A body that does not come is no worse than none: the status tells.
    with contextlib.suppress(OSError):
        while len(body) < length and (more := stream.recv(_READ)):
            body += more
    return http.HttpResponse(response.status, response.phrase, response.headers, body[:length])


def fetch(dial: Dial, host: str, path: str, accept: str = "*/*") -> http.HttpResponse | None:
    """A page, or None if there is none to be had."""
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
