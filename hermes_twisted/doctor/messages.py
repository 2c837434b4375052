"""Reads a WebSocket as a client does: assembles a server's WebSocket frames to messages."""

from __future__ import annotations

import secrets
import zlib
from collections.abc import Iterator
from typing import Final

from ..websocket.frames import WebSocketFrame, client_frame, decode_header

#: Bytes of one message; `gateway.ready` is far smaller.
MAX_MESSAGE: Final = 4 * 1024 * 1024


class BadMessage(Exception):
    """The bytes received are not valid WebSocket frames of a server; the text says why."""


def encode(opcode: int, payload: bytes) -> bytes:
    """Encode a client's WebSocket frame under a random mask."""
    return client_frame(opcode, payload, secrets.token_bytes(4))


def take_frames(data: bytearray) -> Iterator[WebSocketFrame]:
    """Remove whole WebSocket frames from the front of *data*; yield them. Raises `BadMessage`."""
    while len(data) >= 2:
        if data[1] & 0x80 or data[0] & 0x30:
            raise BadMessage(
                "a masked WebSocket frame, or one with unknown bits, came from the server"
            )
        header = decode_header(data)
        if header is None:
            return
        if header.length > MAX_MESSAGE:
            raise BadMessage(f"a WebSocket frame of {header.length} bytes came")
        end = header.size + header.length
        if len(data) < end:
            return
        payload = bytes(data[header.size : end])
        del data[:end]
        yield WebSocketFrame(header.opcode, header.fin, payload, header.rsv)


class Messages:
    """Assembles text messages from WebSocket frames.

    *extensions* is the server's `Sec-WebSocket-Extensions`: it says whether messages are inflated.
    """

    def __init__(self, extensions: str) -> None:
        self.deflate = "permessage-deflate" in extensions.lower()
        self._fresh = "server_no_context_takeover" in extensions.lower()
        self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        self._parts = b""
        self._compressed = False

    def take(self, frame: WebSocketFrame) -> bytes | None:
        """Return the message that *frame* completes, None if it completes none.

        Raises `BadMessage`.
        """
        if frame.opcode:
            self._parts, self._compressed = b"", frame.compressed
        self._parts += frame.payload
        if len(self._parts) > MAX_MESSAGE:
            raise BadMessage(f"a message of more than {MAX_MESSAGE} bytes came")
        if not frame.fin:
            return None
        return self._inflated(self._parts) if self._compressed else self._parts

    def _inflated(self, payload: bytes) -> bytes:
        if not self.deflate:
            raise BadMessage("a compressed message came, and compression was not agreed upon")
        try:
            text = self._inflater.decompress(payload + b"\x00\x00\xff\xff", MAX_MESSAGE)
        except zlib.error:
            raise BadMessage("a compressed message cannot be inflated") from None
        if self._inflater.unconsumed_tail:
            raise BadMessage(f"a compressed message inflates to more than {MAX_MESSAGE} bytes")
        if self._fresh:
            self._inflater = zlib.decompressobj(-zlib.MAX_WBITS)
        return text
