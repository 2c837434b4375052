"""What is read after we have failed a connection (RFC 6455 §7.1.7): nothing but the end."""

from __future__ import annotations

from typing import Final

_CLOSE: Final = 8
#: Of the longest header: 2 bytes, 8 of length, 4 of mask.
_LONGEST: Final = 14


class CloseWatch:
    """Steps over frames, keeping nothing, until the peer's close frame has come whole.

    The first *skip* bytes are the rest of the frame that we were in. A peer that lies
    about lengths is never understood; its time to answer runs out.
    """

    def __init__(self, skip: int = 0) -> None:
        self._skip = skip
        self._head = b""
        self._closing = False

    def feed(self, data: bytes) -> bool:
        """Whether the close frame has come."""
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
            header = _header(data[start : start + _LONGEST])
            if header is None:
                self._head = data[start:]
                return False
            size, self._skip, self._closing = header
            start += size


def _header(data: bytes) -> tuple[int, int, bool] | None:
    """A frame's header size and payload length, and whether it is a close; None if too short."""
    if len(data) < 2:
        return None
    short = data[1] & 0x7F
    extended = {126: 2, 127: 8}.get(short, 0)
    size = 2 + extended + (4 if data[1] & 0x80 else 0)
    if len(data) < size:
        return None
    length = int.from_bytes(data[2 : 2 + extended]) if extended else short
    return size, length, data[0] & 0x0F == _CLOSE
