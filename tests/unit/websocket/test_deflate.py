from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_twisted.websocket import deflate
from hermes_twisted.websocket.deflate import Agreed, Corrupt, Inflater, TooLarge, agree

TAIL = b"\0\0\xff\xff"
BASE = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
MIB = 1024 * 1024


def squeeze(data: bytes, *, bits: int = 15, flush: int = zlib.Z_SYNC_FLUSH) -> bytes:
    """*data* as a client compresses it."""
    stream = zlib.compressobj(wbits=-bits)
    return (stream.compress(data) + stream.flush(flush)).removesuffix(TAIL)


@pytest.mark.parametrize(
    ("header", "server", "client", "answer"),
    [
        ("permessage-deflate", 12, 15, ""),
        # The stock client's.
        ("permessage-deflate; client_max_window_bits", 12, 12, "; client_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits=9", 12, 9, "; client_max_window_bits=9"),
        ("permessage-deflate; client_max_window_bits=15", 12, 12, "; client_max_window_bits=12"),
        ("permessage-deflate; client_max_window_bits=8", 12, 8, "; client_max_window_bits=8"),
        ("permessage-deflate;server_max_window_bits=9", 9, 15, "; server_max_window_bits=9"),
        ("permessage-deflate; server_max_window_bits=15", 12, 15, "; server_max_window_bits=12"),
        ('permessage-deflate; server_max_window_bits="10"', 10, 15, "; server_max_window_bits=10"),
        ("permessage-deflate; server_no_context_takeover", 12, 15, ""),
        ("permessage-deflate; client_no_context_takeover", 12, 15, ""),
        ("PerMessage-Deflate ;  Client_No_Context_Takeover", 12, 15, ""),
        ("foo, permessage-deflate", 12, 15, ""),
        ("permessage-brotli, permessage-deflate", 12, 15, ""),
        # The first that can be had.
        ("permessage-deflate; server_max_window_bits=8, permessage-deflate", 12, 15, ""),
        ("permessage-deflate; x, permessage-deflate; y=1, permessage-deflate", 12, 15, ""),
    ],
)
def test_agreed(header: str, server: int, client: int, answer: str) -> None:
    """What is asked for is kept to, and never more than our own windows."""
    assert agree(header) == Agreed(server, client, BASE + answer)


@pytest.mark.parametrize(
    "header",
    [
        "",
        ",;,",
        "permessage-brotli",
        "permessage-bzip2; request_max_compress_level=9",
        "permessage-snappy",
        "x-webkit-deflate-frame",
        "deflate-stream",
        "permessage-deflate; unknown",
        "permessage-deflate; client_max_window_bits=7",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=015",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=x",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=99999999999999999999",
        "permessage-deflate; server_no_context_takeover=1",
        "permessage-deflate; client_no_context_takeover=true",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate;",
        'permessage-deflate; server_max_window_bits="10',
        "permessage-deflate; \xe9",
    ],
)
def test_declined(header: str) -> None:
    """Other extensions and malformed offers are declined (RFC 7692 §7.1), not refused."""
    assert agree(header) is None


@given(st.text(max_size=80))
def test_any_header(header: str) -> None:
    """No header breaks it, and nothing of one gets into the answer."""
    agreed = agree("permessage-deflate; " + header)

    assert agreed is None or set(agreed.response) <= set(BASE + "=0123456789max_window_bits")


@pytest.mark.parametrize(
    ("size", "is_deflated"),
    [(0, False), (1023, False), (1024, True), (MIB, True), (MIB + 1, False)],
)
def test_sizes(size: int, is_deflated: bool) -> None:
    """Frames of 1 KiB to 1 MiB are deflated, others not."""
    assert (deflate.deflate(b"x" * size, 12) is not None) == is_deflated


def test_incompressible() -> None:
    """What would become larger is left as it is."""
    noise = squeeze(b"".join(b"%d" % (n * n * 7919) for n in range(20000)))

    assert len(noise) > 1024
    assert deflate.deflate(noise, 12) is None


@pytest.mark.parametrize("bits", range(9, 16))
def test_round_trip(bits: int) -> None:
    """A client with just the agreed window gets the payload back, message by message."""
    for payload in (b"{}" * 1000, "äöü €\U0001f600".encode() * 5000):
        data = deflate.deflate(payload, bits)
        assert data is not None
        assert zlib.decompressobj(-bits).decompress(data + TAIL) == payload


@given(
    st.binary(max_size=5000),
    st.integers(1, 50),
    st.integers(8, 15),
    st.sampled_from([zlib.Z_SYNC_FLUSH, zlib.Z_FULL_FLUSH, zlib.Z_FINISH]),
    st.integers(1, 1000),
)
def test_inflated(data: bytes, times: int, bits: int, flush: int, size: int) -> None:
    """Whatever a client may send is inflated, however it is cut, within just its own size."""
    data *= times
    squeezed = squeeze(data, bits=max(bits, 9), flush=flush)
    if flush == zlib.Z_FINISH:
        squeezed += b"\0"  # RFC 7692 §7.2.3.4
    inflater = Inflater(bits)
    out = b""

    for start in range(0, len(squeezed), size):
        out += inflater.inflate(squeezed[start : start + size], len(data) - len(out))
    inflater.finish()

    assert out == data


@pytest.mark.parametrize("limit", [0, 1, 1000, 99_999])
def test_too_large(limit: int) -> None:
    """One byte more than allowed is too much."""
    with pytest.raises(TooLarge):
        Inflater(15).inflate(squeeze(b"x" * (limit + 1)), limit)


def test_bomb() -> None:
    """A gigabyte in a megabyte makes no more than the limit, and one byte."""
    stream = zlib.compressobj(9, wbits=-15)
    bomb = b"".join(stream.compress(bytes(MIB)) for _ in range(64)) + stream.flush()
    inflater = Inflater(15)

    with pytest.raises(TooLarge):
        inflater.inflate(bomb, MIB)
    assert len(bomb) < 80_000


@pytest.mark.parametrize(
    "data", [b"\xff", b"\x07", b"hello world", squeeze(b"x" * 999)[:-5] + b"\xff\xff"]
)
def test_corrupt(data: bytes) -> None:
    """What is no deflated data is corrupt, at once or at the end."""
    inflater = Inflater(15)

    with pytest.raises(Corrupt):
        inflater.inflate(data, 10_000)
        inflater.finish()


def test_many_streams() -> None:
    """A message may consist of several streams, but not of thousands."""
    one = squeeze(b"ab", flush=zlib.Z_FINISH)

    assert Inflater(15).inflate(one * 50, 100) == b"ab" * 50
    with pytest.raises(Corrupt):
        Inflater(15).inflate(one * 5000, 10**6)
