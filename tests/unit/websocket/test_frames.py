from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from hermes_twisted.websocket.deflate import deflate
from hermes_twisted.websocket.frames import text_frames, text_header


def read_frames(data: bytes, *extensions: Extension) -> list[Frame]:
    """What an independent implementation of RFC 6455 reads, as a client."""
    reader = StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    frames = []
    while reader.buffer:
        parsing = Frame.parse(reader.read_exact, mask=False, extensions=extensions)
        try:
            next(parsing)
            raise AssertionError("the frame is not complete")
        except StopIteration as done:
            frames.append(done.value)
    return frames


@pytest.mark.parametrize(
    ("length", "header"),
    [
        (0, "8100"),
        (1, "8101"),
        (125, "817d"),
        (126, "817e007e"),
        (127, "817e007f"),
        (65535, "817effff"),
        (65536, "817f0000000000010000"),
        (2**32, "817f0000000100000000"),
    ],
)
def test_header(length: int, header: str) -> None:
    """A length is written in the shortest of the three forms (RFC 6455 section 5.2)."""
    assert text_header(length).hex() == header


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536, 300_000])
def test_edges_are_read(length: int) -> None:
    """A frame at each edge of the length forms is read by another implementation."""
    [frame] = read_frames(b"".join(text_frames([b"x" * length])))

    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * length)


@settings(max_examples=50)
@given(payloads=st.lists(st.text(max_size=200).map(str.encode), max_size=10))
def test_frames_are_read(payloads: list[bytes]) -> None:
    """Each payload becomes one final, unmasked text frame, in order."""
    frames = read_frames(b"".join(text_frames(payloads)))

    assert [frame.data for frame in frames] == payloads
    assert all(frame.opcode is Opcode.TEXT and frame.fin for frame in frames)


def test_payloads_are_not_copied() -> None:
    """The payload objects themselves go into the write."""
    payload = b"x" * 1000

    assert text_frames([payload])[1] is payload


def test_squeezed_frames() -> None:
    """Another implementation of RFC 7692 reads what is compressed, and what is left as it is."""
    payloads = [b"x" * 10, b"[1, 2, 3] " * 2000, b"", bytes(range(32, 127)) * 1000, b"[]" * 600_000]

    frames = read_frames(
        b"".join(text_frames(payloads, lambda payload: deflate(payload, 12))),
        PerMessageDeflate(
            remote_no_context_takeover=True,
            local_no_context_takeover=True,
            remote_max_window_bits=12,
            local_max_window_bits=12,
        ),
    )

    assert [frame.data for frame in frames] == payloads
