from __future__ import annotations

import zlib

import pytest

from hermes_twisted.websocket.deflate import Agreed, Compression

AGREED = Agreed(12, 12, "")


def squeeze(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-12)
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


@pytest.mark.parametrize(("data", "too_large"), [(squeeze(b"x" * 11), True), (b"\xff" * 9, False)])
def test_failed_once(data: bytes, too_large: bool) -> None:
    """A message that fails is told once; the rest of it, and its end, make nothing any more."""
    told: list[bool] = []
    compression = Compression(AGREED, lambda: 10, told.append)

    compression.start_decompress_message()
    for _ in range(3):
        assert compression.decompress_message_data(data) == b""
    compression.end_decompress_message()

    assert told == [too_large]


def test_next_message() -> None:
    """Each message begins anew."""
    compression = Compression(AGREED, lambda: 10, lambda too_large: None)

    for text in (b"a" * 10, b"b" * 10):
        compression.start_decompress_message()
        assert compression.decompress_message_data(squeeze(text)) == text
        compression.end_decompress_message()
