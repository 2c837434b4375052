"""The WebSocket frame codec (RFC 6455 §5.2): headers, masks, and a fast path for text messages.

"Frame" here always means a WebSocket frame. On the server, Autobahn parses all but small, whole
text messages: fragments, control frames, large and invalid frames.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

#: Opcodes (RFC 6455 §5.2).
CONTINUATION: Final = 0
TEXT: Final = 1
BINARY: Final = 2
CLOSE: Final = 8
PING: Final = 9
PONG: Final = 10

#: The reserved bit of a compressed message (RFC 7692 §6), as in `Header.rsv`.
RSV1: Final = 0b100

#: Compresses a payload; returns None to send it uncompressed.
Compress = Callable[[bytes], bytes | None]

_FINAL_TEXT: Final = 0x80 | TEXT
_MEDIUM: Final = struct.Struct("!BBH").pack
_LARGE: Final = struct.Struct("!BBQ").pack
#: Bytes of the extended length, by the seven bits that announce it.
_EXTENDED: Final = {126: 2, 127: 8}
#: The header of every payload below 126 bytes.
_SMALL: Final = tuple(bytes((_FINAL_TEXT, length)) for length in range(126))


class Header(NamedTuple):
    """A decoded frame header."""

    size: int
    """Bytes of the header itself."""
    opcode: int
    fin: bool
    rsv: int
    """The three reserved bits, RSV1 the highest."""
    mask: bytes
    """Four bytes; empty for a frame without a mask."""
    length: int
    """Bytes of the payload, as declared."""


@dataclass(frozen=True)
class WebSocketFrame:
    """A complete WebSocket frame, unmasked."""

    opcode: int
    fin: bool
    payload: bytes
    rsv: int = 0

    @property
    def compressed(self) -> bool:
        """Whether it begins a compressed message (RFC 7692 §6)."""
        return bool(self.rsv & RSV1)

    @property
    def close_code(self) -> int | None:
        """The status code of a close frame (RFC 6455 §5.5.1), None if it has none."""
        return int.from_bytes(self.payload[:2]) if len(self.payload) >= 2 else None


def encode_header(
    opcode: int, length: int, *, fin: bool = True, rsv: int = 0, mask: bytes = b""
) -> bytes:
    """Encode a header with *length* bytes of payload, in the shortest form."""
    first, masked = fin << 7 | rsv << 4 | opcode, 0x80 if mask else 0
    if length < 126:
        return bytes((first, masked | length)) + mask
    if length < 65536:
        return _MEDIUM(first, masked | 126, length) + mask
    return _LARGE(first, masked | 127, length) + mask


def decode_header(data: bytes | bytearray, start: int = 0) -> Header | None:
    """Decode the header at *start*; return None if it is incomplete.

    Nothing is validated: neither the opcode and the reserved bits, nor that the length has its
    shortest form.
    """
    if len(data) - start < 2:
        return None
    first, second = data[start], data[start + 1]
    length = second & 0x7F
    extended = _EXTENDED.get(length, 0)
    size = 2 + extended + (4 if second & 0x80 else 0)
    if len(data) - start < size:
        return None
    if extended:
        length = int.from_bytes(data[start + 2 : start + 2 + extended])
    mask = bytes(data[start + 2 + extended : start + size])
    return Header(size, first & 0x0F, bool(first & 0x80), first >> 4 & 0b111, mask, length)


def apply_mask(payload: bytes, mask: bytes) -> bytes:
    """Mask or unmask *payload*: the operation is its own inverse (RFC 6455 §5.3)."""
    # All bytes at once, as one large integer.
    size = len(payload)
    stream = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(stream)).to_bytes(size)


def client_frame(opcode: int, payload: bytes, mask: bytes) -> bytes:
    """Encode a client's frame, with a *mask* of four bytes."""
    return encode_header(opcode, len(payload), mask=mask) + apply_mask(payload, mask)


def text_header(length: int) -> bytes:
    """Return the header of one unmasked text frame with *length* bytes of payload."""
    # The same as `encode_header`, but faster: this runs for every message that is sent.
    if length < 126:
        return _SMALL[length]
    return _MEDIUM(_FINAL_TEXT, 126, length) if length < 65536 else _LARGE(_FINAL_TEXT, 127, length)


def text_frames(payloads: Iterable[bytes], compress: Compress | None = None) -> list[bytes]:
    """Return headers and payloads of server frames, alternating, for one `writeSequence`.

    Payloads that *compress* compresses have RSV1 set in their headers (RFC 7692 §6).
    """
    parts: list[bytes] = []
    for payload in payloads:
        compressed = compress(payload) if compress is not None else None
        if compressed is None:
            parts.append(text_header(len(payload)))
            parts.append(payload)
        else:
            parts.append(encode_header(TEXT, len(compressed), rsv=RSV1))
            parts.append(compressed)
    return parts


def split_texts(data: bytes, limit: int) -> tuple[list[bytes], bytes]:
    """Return the simple text messages at the beginning of *data*, and the rest of *data*.

    Simple means: one complete masked frame, less than 64 KiB and at most *limit* bytes, and valid
    UTF-8.
    """
    messages: list[bytes] = []
    start, end = 0, len(data)
    # Faster than with `decode_header`: this runs for every message that is received.
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
        text = apply_mask(data[body : body + length], data[mask:body])
        if not (text.isascii() or _is_utf8(text)):
            break
        messages.append(text)
        start = body + length
    return messages, data[start:]


def _is_utf8(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
