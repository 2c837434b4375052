"""Reading after we have failed a connection (RFC 6455 §7.1.7): only a close frame counts."""

from __future__ import annotations

from .frames import CLOSE, decode_header


class CloseWatch:
    """Discards frames until the peer's close frame has come whole.

    The first *skip* bytes are the rest of the frame that the connection failed in. A peer that
    declares more bytes than it sends is never understood; its closing handshake times out.
    """

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._head = b""
        self._closing = False

    def feed(self, data: bytes) -> bool:
        """Read *data*; return whether the close frame is complete."""
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
