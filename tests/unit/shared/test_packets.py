from __future__ import annotations

import itertools
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_twisted.shared.packets import (
    HEADER,
    LARGE,
    MAX_BODY,
    SIZE,
    BadPacket,
    Op,
    Packet,
    Unpacker,
    pack,
)

u32 = st.integers(0, 2**32 - 1)
packets = st.builds(Packet, st.integers(0, 255), u32, u32, st.binary(max_size=300))


def feed_all(unpacker: Unpacker, chunks: list[bytes]) -> list[Packet]:
    return [packet for chunk in chunks for packet in unpacker.feed(chunk)]


def test_layout() -> None:
    """The header is kind, seat, tag and length in network byte order: 13 bytes."""
    assert pack(Op.REQUEST, 0x01020304, 0x05060708, b"body") == (
        b"\x03\x01\x02\x03\x04\x05\x06\x07\x08\x00\x00\x00\x04body"
    )
    assert HEADER.size == 13


def test_defaults() -> None:
    """A packet may be no more than its kind."""
    assert pack(Op.OPEN) == b"\x02" + bytes(12)


def test_size_is_eight_bytes() -> None:
    """A settled size is 64 bits wide: sums of bytes may pass 4 GiB."""
    assert SIZE.pack(2**33) == b"\x00\x00\x00\x02\x00\x00\x00\x00"


def test_kinds_tell_the_direction() -> None:
    """Kinds below 32 go to the worker, the others come from it."""
    to_worker = {Op.HELLO, Op.OPEN, Op.REQUEST, Op.URGENT, Op.CREDIT, Op.CLOSE, Op.DRAIN}

    assert {op for op in Op if op < 32} == to_worker


@settings(max_examples=100)
@given(sent=st.lists(packets, max_size=6), cuts=st.lists(st.integers(0, 2000), max_size=8))
def test_any_chunking(sent: list[Packet], cuts: list[int]) -> None:
    """However the stream is cut, the packets come out whole and in order."""
    stream = b"".join(pack(*packet) for packet in sent)
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[start:end] for start, end in itertools.pairwise(edges)]

    assert feed_all(Unpacker(), chunks) == sent


def test_byte_by_byte() -> None:
    """A packet comes out with its last byte, not before."""
    stream = pack(Op.EVENT, 1, 2, b"abc") + pack(Op.CLOSE, 1)
    unpacker = Unpacker()

    counts = [len(list(unpacker.feed(bytes([byte])))) for byte in stream]

    assert [place for place, count in enumerate(counts, 1) if count] == [16, 29]
    assert sum(counts) == 2


def test_several_at_once() -> None:
    """One chunk may complete several packets, and begin another."""
    unpacker = Unpacker()
    last = pack(Op.ANSWER, 3, 9, b"late")

    first = list(unpacker.feed(pack(Op.OPEN, 1) + pack(Op.EVENT, 1, 0, b"x") + last[:15]))
    second = list(unpacker.feed(last[15:]))

    assert first == [(Op.OPEN, 1, 0, b""), (Op.EVENT, 1, 0, b"x")]
    assert second == [(Op.ANSWER, 3, 9, b"late")]


def test_nothing_gives_nothing() -> None:
    """An empty chunk changes nothing."""
    unpacker = Unpacker()
    head, tail = pack(Op.OPEN, 5)[:4], pack(Op.OPEN, 5)[4:]

    assert feed_all(unpacker, [b"", head, b"", tail, b""]) == [(Op.OPEN, 5, 0, b"")]


def test_impossible_length() -> None:
    """A length above the limit ends the stream before any of the body is awaited."""
    with pytest.raises(BadPacket, match=str(MAX_BODY + 1)):
        list(Unpacker().feed(struct.pack("!BIII", Op.EVENT, 1, 0, MAX_BODY + 1)))


def test_largest_length() -> None:
    """A length at the limit is possible."""
    assert list(Unpacker().feed(struct.pack("!BIII", Op.EVENT, 1, 0, MAX_BODY))) == []


def test_packets_before_the_bad_one_count() -> None:
    """What came before the impossible length is delivered."""
    stream = pack(Op.EVENT, 1, 0, b"good") + struct.pack("!BIII", 1, 1, 0, 2**32 - 1)
    seen: list[Packet] = []

    with pytest.raises(BadPacket):
        for packet in Unpacker().feed(stream):
            seen.append(packet)

    assert seen == [(Op.EVENT, 1, 0, b"good")]


def test_unknown_kind_passes() -> None:
    """What a kind means is not the framing's business."""
    assert list(Unpacker().feed(pack(200, 1, 2, b"?"))) == [(200, 1, 2, b"?")]


@pytest.mark.parametrize("step", [1000, LARGE, LARGE + HEADER.size, 3 * LARGE + 7, 10**9])
def test_large_bodies(step: int) -> None:
    """Gathered in place, in whatever pieces they come, with others before and behind."""
    sent = [
        Packet(Op.EVENT, 1, 0, b"small"),
        Packet(Op.ANSWER, 2, 7, bytes(range(256)) * 1024),
        Packet(Op.EVENT, 3, 0, b"x" * (LARGE + 1)),
        Packet(Op.EVENT, 4, 0, b""),
        Packet(Op.EVENT, 5, 0, b"y" * LARGE),
    ]
    stream = b"".join(pack(*packet) for packet in sent)
    unpacker = Unpacker()

    got = [
        packet
        for start in range(0, len(stream), step)
        for packet in unpacker.feed(stream[start : start + step])
    ]

    assert got == sent
