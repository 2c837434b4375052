"""Waits for the close of a peer after we have failed the connection (RFC 6455 §7.1.7)."""

from __future__ import annotations

from .frames import CLOSE, decode_header


class CloseWatch:
    """Discards WebSocket frames until the peer's close frame is complete.

    The first *skip* bytes are the rest of the frame during which the connection was failed. If the
    peer sends fewer bytes than it has declared, the close frame is not found, and the closing
    handshake times out.
    """

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._head = b""
        self._closing = False

    def feed(self, data: bytes) -> bool:
        """Parse *data*; return whether the close frame is complete."""
        data, self._head = self._head + data, b""
        start = 0
        while True:
            step = min(self._skip, len(data) - start)
            self._skip -= step
            start += step
            if self._skip:
                return False
            if self._closing:
                return True
            header = decode_header(data, start)
            if header is None:
                self._head = data[start:]
                return False
            self._skip, self._closing = header.length, header.opcode == CLOSE
            start += header.size
