from __future__ import annotations

import zlib

import pytest

from hermes_twisted.websocket.deflate import Agreed, Compression, Corrupt, TooLarge

AGREED = Agreed(12, 12, "")


def squeeze(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-12)
    return stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


@pytest.mark.parametrize(("data", "kind"), [(squeeze(b"x" * 11), TooLarge), (b"\xff" * 9, Corrupt)])
def test_failed_once(data: bytes, kind: type[Exception]) -> None:
    """A message fails once; the rest of it, and its end, are ignored."""
    errors: list[Exception] = []
    compression = Compression(AGREED, lambda: 10, errors.append)

    compression.start_decompress_message()
    for _ in range(3):
        assert compression.decompress_message_data(data) == b""
    compression.end_decompress_message()

    assert [type(error) for error in errors] == [kind]


def test_next_message() -> None:
    """Each message begins anew."""
    compression = Compression(AGREED, lambda: 10, lambda error: None)

    for text in (b"a" * 10, b"b" * 10):
        compression.start_decompress_message()
        assert compression.decompress_message_data(squeeze(text)) == text
        compression.end_decompress_message()
