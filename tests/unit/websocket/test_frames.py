from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from hermes_twisted.websocket.deflate import deflate
from hermes_twisted.websocket.frames import (
    Header,
    client_frame,
    decode_header,
    encode_header,
    text_frames,
    text_header,
)


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


@given(
    length=st.sampled_from([0, 125, 126, 65535, 65536, 2**40]),
    opcode=st.integers(0, 15),
    fin=st.booleans(),
    rsv=st.integers(0, 7),
    mask=st.sampled_from([b"", b"abcd"]),
    before=st.binary(max_size=3),
)
def test_headers_are_decoded_as_they_were_encoded(
    length: int, opcode: int, fin: bool, rsv: int, mask: bytes, before: bytes
) -> None:
    """Every field comes back, wherever the header stands; half a header is none."""
    header = encode_header(opcode, length, fin=fin, rsv=rsv, mask=mask)
    data, start = before + header, len(before)

    assert decode_header(data + b"payload", start) == Header(
        len(header), opcode, fin, rsv, mask, length
    )
    assert all(decode_header(data[:end], start) is None for end in range(start, len(data)))


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
def test_client_frames_are_read(length: int) -> None:
    """Another implementation, as a server, reads a masked frame."""
    reader = StreamReader()
    reader.feed_data(client_frame(Opcode.TEXT, b"x" * length, b"abcd"))
    reader.feed_eof()
    parsing = Frame.parse(reader.read_exact, mask=True)

    with pytest.raises(StopIteration) as done:
        next(parsing)

    frame = done.value.value
    assert (frame.opcode, frame.fin, frame.data) == (Opcode.TEXT, True, b"x" * length)


@pytest.mark.parametrize("length", [0, 1, 125, 126, 65535, 65536])
def test_headers_of_others_are_decoded(length: int) -> None:
    """What another implementation serialises, masked and not, is decoded."""
    for masked in (False, True):
        data = Frame(Opcode.BINARY, b"x" * length, fin=False).serialize(mask=masked)

        header = decode_header(data)

        assert header is not None
        assert (header.opcode, header.fin, header.rsv) == (Opcode.BINARY, False, 0)
        assert (header.length, header.size + length) == (length, len(data))
        assert bool(header.mask) is masked
