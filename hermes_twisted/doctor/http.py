"""A client's HTTP/1.1: requests, response heads and the WebSocket handshake, without sockets."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import __version__

#: Not the name of the UI's library: a client of that name may be let into the waiting room, and
#: would not see the refusal.
USER_AGENT: Final = f"hermes-attach-doctor/{__version__}"
MAX_HEAD: Final = 32 * 1024
MAX_BODY: Final = 64 * 1024
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class NotHttp(Exception):
    """The peer does not speak HTTP; `start` is the beginning of what it sent."""

    def __init__(self, start: bytes) -> None:
        super().__init__("not HTTP")
        self.start = start


@dataclass(frozen=True)
class HttpResponse:
    """An HTTP response. Header names are in lower case."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes = b""

    def header(self, name: str) -> str:
        """Return a header's value, empty if it is absent."""
        return self.headers.get(name, "")

    @property
    def kind(self) -> str:
        """The media type, in lower case and without parameters."""
        return self.header("content-type").partition(";")[0].strip().lower()


def get(host: str, path: str, accept: str) -> bytes:
    """Return a GET request for a page."""
    return _request(path, [("Host", host), ("Accept", accept), ("Connection", "close")])


def new_nonce() -> str:
    """Return a new `Sec-WebSocket-Key`: 16 random bytes in base64 (RFC 6455 §4.1)."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def upgrade(host: str, target: str, nonce: str) -> bytes:
    """Return the handshake that the terminal UI sends, but with our name, and asking for JSON."""
    return _request(
        target,
        [
            ("Host", host),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", nonce),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits"),
            ("Accept", "application/problem+json, */*"),
            ("Accept-Language", "*"),
            ("Pragma", "no-cache"),
            ("Cache-Control", "no-cache"),
        ],
    )


def accept_of(nonce: str) -> str:
    """Return the `Sec-WebSocket-Accept` that the server must send (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(nonce.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _request(target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"User-Agent: {USER_AGENT}", "", ""]).encode("latin-1", "replace")


def split_head(data: bytes) -> tuple[HttpResponse, bytes] | None:
    """Split *data* into response head and rest; None if the head is not whole. Raises `NotHttp`."""
    if not (data.startswith(b"HTTP/1.") or b"HTTP/1.".startswith(data[:7])):
        raise NotHttp(data[:80])
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        if len(data) > MAX_HEAD:
            raise NotHttp(data[:80])
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    _version, _, status = first.partition(" ")
    number, _, phrase = status.partition(" ")
    if not (number.isdecimal() and len(number) == 3):
        raise NotHttp(data[:80])
    headers: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        key = name.strip().lower()
        headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return HttpResponse(int(number), phrase, headers), rest
