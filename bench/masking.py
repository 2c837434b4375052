"""A client's WebSocket frames, made without a library: RFC 6455, section 5.2."""

from __future__ import annotations

import os


def masked(text: bytes) -> bytes:
    """*text*, below 64 KiB, as a client's whole frame, so that many go out in one write."""
    size, mask = len(text), os.urandom(4)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    stream = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(size)
    return head + mask + body
