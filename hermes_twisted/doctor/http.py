"""As much HTTP/1.1 and WebSocket as a client of one needs, without sockets."""

from __future__ import annotations

import base64
import hashlib
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from .. import __version__

#: An own name: what calls itself as the UI's library does may be let into the waiting
#: room, and would not see the refusal.
USER_AGENT: Final = f"hermes-attach-doctor/{__version__}"
MAX_HEAD: Final = 32 * 1024
MAX_BODY: Final = 64 * 1024
#: More than any `gateway.ready` that ever was.
MAX_MESSAGE: Final = 4 * 1024 * 1024

#: RFC 6455 §5.2
TEXT: Final = 1
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_LENGTHS: Final = {126: "!H", 127: "!Q"}


class NotHttp(Exception):
    """The peer speaks something else; `start` is what it said."""

    def __init__(self, start: bytes) -> None:
        super().__init__("not HTTP")
        self.start = start


class BadFrame(Exception):
    """What came is no WebSocket frame of a server; the text says why."""


@dataclass(frozen=True)
class HttpResponse:
    """An answer. Header names are in lower case."""

    status: int
    phrase: str
    headers: Mapping[str, str]
    body: bytes = b""

    def header(self, name: str) -> str:
        """A header's value, or nothing."""
        return self.headers.get(name, "")

    @property
    def kind(self) -> str:
        """The media type."""
        return self.header("content-type").partition(";")[0].strip().lower()


def get(host: str, path: str, accept: str) -> bytes:
    """A request for a page."""
    return _request(path, [("Host", host), ("Accept", accept), ("Connection", "close")])


def new_nonce() -> str:
    """RFC 6455 §4.1: 16 random bytes in base64."""
    return base64.b64encode(secrets.token_bytes(16)).decode()


def upgrade(host: str, target: str, nonce: str) -> bytes:
    """The request that the UI makes, apart from its name, and from asking for reasons in JSON."""
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
    """What the server must answer (RFC 6455 §4.2.2)."""
    digest = hashlib.sha1(nonce.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def _request(target: str, headers: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"GET {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"User-Agent: {USER_AGENT}", "", ""]).encode("latin-1", "replace")


def split_head(data: bytes) -> tuple[HttpResponse, bytes] | None:
    """The head in *data* and what follows it; None if there is more to come. Raises `NotHttp`."""
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


@dataclass(frozen=True)
class Frame:
    """A whole frame from the server."""

    opcode: int
    fin: bool
    compressed: bool
    payload: bytes


def client_frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame of at most 125 bytes."""
    mask = secrets.token_bytes(4)
    stream = mask * (len(payload) // 4 + 1)
    body = bytes(a ^ b for a, b in zip(payload, stream, strict=False))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + body


def take_frames(data: bytearray) -> Iterator[Frame]:
    """Take whole frames off the front of *data*. Raises `BadFrame`."""
    while len(data) >= 2:
        start, length = 2, data[1] & 0x7F
        if data[1] & 0x80 or data[0] & 0x30:
            raise BadFrame("a masked frame, or one with unknown bits, came from the server")
        if length in _LENGTHS:
            start += struct.calcsize(_LENGTHS[length])
            if len(data) < start:
                return
            (length,) = struct.unpack(_LENGTHS[length], data[2:start])
        if length > MAX_MESSAGE:
            raise BadFrame(f"a frame of {length} bytes came")
        if len(data) < start + length:
            return
        frame = Frame(
            data[0] & 0x0F,
            bool(data[0] & 0x80),
            bool(data[0] & 0x40),
            bytes(data[start : start + length]),
        )
        del data[: start + length]
        yield frame


class Messages:
    """Puts text messages together, inflated if *extensions*, which the server chose, say so."""

    def __init__(self, extensions: str) -> None:
        self.deflate = "permessage-deflate" in extensions.lower()
        self._fresh = "server_no_context_takeover" in extensions.lower()
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._parts = b""
        self._compressed = False

    def take(self, frame: Frame) -> bytes | None:
        """The message that *frame* completes. Raises `BadFrame`."""
        if frame.opcode:
            self._parts, self._compressed = b"", frame.compressed
        self._parts += frame.payload
        if len(self._parts) > MAX_MESSAGE:
            raise BadFrame("an endless message came")
        if not frame.fin:
            return None
        return self._inflated(self._parts) if self._compressed else self._parts

    def _inflated(self, payload: bytes) -> bytes:
        if not self.deflate:
            raise BadFrame("a compressed message came, and compression was not agreed upon")
        try:
            text = self._inflater.decompress(payload + b"\x00\x00\xff\xff", MAX_MESSAGE)
        except zlib.error:
            raise BadFrame("a compressed message cannot be inflated") from None
        if self._inflater.unconsumed_tail:
            raise BadFrame("a compressed message inflates beyond all bounds")
        if self._fresh:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return text
