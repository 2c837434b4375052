"""A client's connection in memory, for tests of servers: HTTP and WebSockets.

It behaves like Twisted's TCP: a connection ends in a later turn of the loop, and bytes that arrive
while it is paused are delivered later.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import IAddress, IProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ..websocket.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    WebSocketFrame,
    apply_mask,
    decode_header,
    encode_header,
)

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Headers",
    "MemoryWire",
    "Response",
    "WebSocketFrame",
    "apply_mask",
    "client_frame",
    "handshake",
    "read_frames",
    "request",
]

_NONCE: Final = base64.b64encode(b"sixteen bytes...")
_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_ACCEPT: Final = base64.b64encode(hashlib.sha1(_NONCE + _GUID, usedforsecurity=False).digest())
_MASK: Final = b"\x37\xfa\x21\x3d"

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Response:
    """An HTTP response. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


def handshake(target: str, headers: Headers = (), *, without: Sequence[str] = ()) -> bytes:
    """Return the request that opens a WebSocket; *headers* replace those of the same name."""
    usual = {
        "Host": "127.0.0.1:8643",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": _NONCE.decode(),
        "Sec-WebSocket-Version": "13",
    }
    replaced = {name.lower() for name, _value in headers} | {name.lower() for name in without}
    lines = [(name, value) for name, value in usual.items() if name.lower() not in replaced]
    return request("GET", target, [*lines, *headers])


def request(method: str, target: str, headers: Headers = (), body: bytes = b"") -> bytes:
    """Return an HTTP/1.1 request with the given headers, and no others."""
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def client_frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = _MASK,
    length: int | None = None,
    size: int | None = None,
) -> bytes:
    """Encode a client's WebSocket frame, valid or invalid.

    *length* is declared in the header instead of the payload's length. *size* is the number of
    bytes of the extended length (0, 2 or 8), even if a shorter form exists.
    """
    declared = len(payload) if length is None else length
    head = encode_header(opcode, declared, fin=fin, rsv=rsv, mask=mask or b"")
    if size is not None:
        # `encode_header` makes only the shortest form.
        short = {0: declared, 2: 126, 8: 127}[size]
        head = bytes((head[0], head[1] & 0x80 | short)) + (declared.to_bytes(size) if size else b"")
        head += mask or b""
    return head + (payload if mask is None else apply_mask(payload, mask))


def read_frames(data: bytes) -> Iterator[WebSocketFrame]:
    """Decode a server's WebSocket frames: complete, unmasked, uncompressed; else `ValueError`."""
    start = 0
    while start < len(data):
        header = decode_header(data, start)
        if header is None:
            raise ValueError("the last frame is not whole")
        if header.rsv or header.mask:
            raise ValueError("a server's frames have no reserved bits and no mask")
        start += header.size
        if start + header.length > len(data):
            raise ValueError("the last frame is not whole")
        payload = data[start : start + header.length]
        yield WebSocketFrame(header.opcode, header.fin, payload)
        start += header.length


class MemoryWire(StringTransport):
    """The client's end of a TCP connection in memory, with a server's protocol at the other end.

    *build* makes the protocol, like `buildProtocol` of a factory. *clock* runs the later turns of
    the loop; each `feed` ends with one.
    """

    def __init__(
        self,
        build: Callable[[IAddress], Any],
        clock: Clock,
        *,
        peer: IAddress | None = None,
        host: IAddress | None = None,
    ) -> None:
        peer = peer or IPv4Address("TCP", "127.0.0.1", 50000)
        host = host or IPv4Address("TCP", "127.0.0.1", 8643)
        super().__init__(host, peer, lenient=True)  # type: ignore[no-untyped-call]
        self.writes: list[bytes] = []
        """The writes of the server that `take` has not returned yet."""
        self.aborted = False
        self.blocked = False
        self.no_delay: bool | None = None
        self._clock = clock
        self._unread: list[bytes] = []
        self._producer_paused = False
        self.protocol: IProtocol | None = build(peer)  # An upgrade replaces it.
        if self.protocol is not None:
            self.protocol.makeConnection(self)

    # The client's side.

    def feed(self, *chunks: bytes) -> None:
        """Send each chunk to the server as one segment."""
        for chunk in chunks:
            self._unread.append(chunk)
            self._deliver()
        self._clock.advance(0)

    def hang_up(self) -> None:
        """Close the connection as the client."""
        self._lose(ConnectionDone())
        self._clock.advance(0)

    def block(self) -> None:
        """Stop reading as the client, with all buffers full."""
        self.blocked = True
        self._pause_producer()

    def unblock(self) -> None:
        """Read again as the client."""
        self.blocked = False
        if self._producer_paused:
            self._producer_paused = False
            if self.producer is not None:
                self.producer.resumeProducing()
        if self.disconnecting:
            self._lose_later(ConnectionDone())
        self._clock.advance(0)

    def take(self) -> bytes:
        """Return the bytes that the server has written since the last `take`."""
        taken, self.writes[:] = b"".join(self.writes), []
        return taken

    @property
    def reading(self) -> bool:
        """Whether the server reads what the client sends."""
        return self.producerState == "producing" and not self.disconnecting

    # HTTP.

    def ask(self, data: bytes, *, head: bool = False) -> Response:
        """Send a request and return its response; *head* is for a HEAD request."""
        self.feed(data)
        return self.response(head=head)

    def response(self, *, head: bool = False) -> Response:
        """Return the response that was received; keep the bytes after it."""
        text, _, rest = self.take().partition(b"\r\n\r\n")
        first, *lines = text.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = 0 if head else int(headers.get("content-length", "0"))
        if rest[length:]:
            self.writes.append(rest[length:])
        return Response(int(first.split()[1]), headers, rest[:length])

    def upgrade(self, key: str, *, target: str = "/api/ws", headers: Headers = ()) -> Response:
        """Open a WebSocket with *key*, and return the server's response. Raises `ValueError`."""
        response = self.ask(handshake(f"{target}?token={key}", headers))
        if response.status == 101 and response.headers["sec-websocket-accept"].encode() != _ACCEPT:
            raise ValueError("the server has not read the handshake's key")
        return response

    # WebSocket.

    def send(self, *texts: bytes) -> None:
        """Send text messages in one segment."""
        self.feed(b"".join(client_frame(text) for text in texts))

    def frames(self) -> list[WebSocketFrame]:
        """Return the WebSocket frames that were received since the last call."""
        return list(read_frames(self.take()))

    def texts(self) -> list[bytes]:
        """Return the text messages since the last call. Raises `ValueError` for any other frame."""
        frames = self.frames()
        if any((frame.opcode, frame.fin) != (TEXT, True) for frame in frames):
            raise ValueError(f"not only text messages: {frames}")
        return [frame.payload for frame in frames]

    # The server's side: the methods of Twisted's transports.

    def write(self, data: bytes) -> None:
        """Record one write of the server, unless the connection has ended."""
        self.writeSequence([data])

    def writeSequence(self, data: Any) -> None:
        """Record one write of the server, unless the connection has ended."""
        written = b"".join(data)
        if written and self.connected and not self.aborted:
            self.writes.append(written)
            if self.blocked:
                self._pause_producer()

    def loseConnection(self) -> None:
        """End the connection in a later turn, once the client reads what was written."""
        if self.connected and not self.disconnecting:
            self.disconnecting = True
            if not self.blocked:
                self._lose_later(ConnectionDone())

    def abortConnection(self) -> None:
        """End the connection in a later turn, and drop bytes that the client has not read."""
        if self.connected and not self.aborted:
            self.aborted = self.disconnecting = True
            self._lose_later(ConnectionAborted())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """Register a producer, which is not paused."""
        super().registerProducer(producer, streaming)  # type: ignore[no-untyped-call]
        self._producer_paused = False

    def unregisterProducer(self) -> None:
        """Unregister the producer, if there is one."""
        self.producer = None
        self._producer_paused = False

    def resumeProducing(self) -> None:
        """Read again; bytes that have arrived meanwhile are delivered in a later turn."""
        super().resumeProducing()  # type: ignore[no-untyped-call]
        if self._unread:
            self._clock.callLater(0, self._deliver)

    def stopProducing(self) -> None:
        """Close the connection."""
        self.loseConnection()

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Record the value as `no_delay`."""
        self.no_delay = bool(enabled)

    def _deliver(self) -> None:
        while self._unread and self.reading and self.protocol is not None:
            self.protocol.dataReceived(self._unread.pop(0))

    def _pause_producer(self) -> None:
        if self.producer is not None and self.streaming and not self._producer_paused:
            self._producer_paused = True
            self.producer.pauseProducing()

    def _lose_later(self, why: Exception) -> None:
        self._clock.callLater(0, self._lose, why)

    def _lose(self, why: Exception) -> None:
        """End the connection now, with the reason *why*."""
        if not self.connected:
            return
        self.connected = False
        self.disconnecting = self.disconnected = True
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        if self.protocol is not None:
            self.protocol.connectionLost(Failure(why))
