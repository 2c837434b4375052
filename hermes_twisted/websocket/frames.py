"""WebSocket frames (RFC 6455 §5.2) of the everyday kind: one text message in one frame.

A server's are unmasked, a client's masked. Whatever else a client may send is Autobahn's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final

#: Compresses a payload, or says with None that it is better sent as it is.
Squeeze = Callable[[bytes], bytes | None]

RSV1: Final = 0x40
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


def text_frames(payloads: Iterable[bytes], squeeze: Squeeze | None = None) -> list[bytes]:
    """Headers and payloads in turn, ready for one `writeSequence`.

    What *squeeze* compresses goes compressed (RFC 7692 §6: RSV1 says so).
    """
    parts: list[bytes] = []
    for payload in payloads:
        squeezed = squeeze(payload) if squeeze is not None else None
        if squeezed is None:
            parts.append(text_header(len(payload)))
            parts.append(payload)
        else:
            header = text_header(len(squeezed))
            parts.append(bytes((header[0] | RSV1,)) + header[1:])
            parts.append(squeezed)
    return parts


def split_texts(data: bytes, limit: int) -> tuple[list[bytes], bytes]:
    """The messages that *data* begins with, as long as they are everyday ones, and the rest.

    Everyday: whole, text, masked, below 64 KiB and at most *limit* bytes, valid UTF-8.
    """
    messages: list[bytes] = []
    start, end = 0, len(data)
    while end - start >= 6 and data[start] == _FINAL_TEXT:
        length, mask = data[start + 1] - 0x80, start + 2
        if length == 126:
            length, mask = int.from_bytes(data[mask : mask + 2]), mask + 2
            if length < 126:
                break  # Not the shortest form.
        elif not 0 <= length < 126:
            break
        body = mask + 4
        if length > limit or body + length > end:
            break
        text = _unmask(data[body : body + length], data[mask:body])
        if not (text.isascii() or _is_utf8(text)):
            break
        messages.append(text)
        start = body + length
    return messages, data[start:]


def _unmask(data: bytes, mask: bytes) -> bytes:
    """All bytes at once, as one large integer."""
    size = len(data)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data) ^ int.from_bytes(stream)).to_bytes(size)


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
