"""Server-to-client WebSocket frames (RFC 6455 §5.2): final, text, unmasked."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

_FINAL_TEXT: Final = 0x81
_MEDIUM: Final = struct.Struct("!BBH").pack
_LARGE: Final = struct.Struct("!BBQ").pack
#: The header of every payload below 126 bytes.
_SMALL: Final = tuple(bytes((_FINAL_TEXT, length)) for length in range(126))


def text_header(length: int) -> bytes:
    """The header of one text frame with *length* bytes of payload."""
    if length < 126:
        return _SMALL[length]
    if length < 65536:
        return _MEDIUM(_FINAL_TEXT, 126, length)
    return _LARGE(_FINAL_TEXT, 127, length)


def text_frames(payloads: Iterable[bytes]) -> list[bytes]:
    """Headers and payloads in turn, ready for one `writeSequence`."""
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(text_header(len(payload)))
        parts.append(payload)
    return parts
