"""The PROXY header: whole, in pieces, and everything else that may come to such a port."""

from __future__ import annotations

from ipaddress import ip_address

import hypothesis
import hypothesis.strategies as st
import pytest
from twisted.protocols.haproxy._v1parser import V1Parser
from twisted.protocols.haproxy._v2parser import V2Parser

from hermes_twisted.listen.proxy_protocol import (
    MAX_V1,
    MAX_V2,
    BadHeader,
    ProxiedClient,
    take_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
IPV4 = bytes([198, 51, 100, 7, 10, 0, 0, 1, 0x12, 0x67, 1, 0xBB])


def v2(version: int, kind: int, body: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return SIGNATURE + bytes([version, kind]) + size.to_bytes(2, "big") + body


GOOD = [
    b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n",
    b"PROXY TCP6 2001:db8::7 ::1 65535 0\r\n",
    b"PROXY UNKNOWN \r\n",
    v2(0x21, 0x11, IPV4),
    v2(0x21, 0x11, IPV4 + b"\x04\x00\x01\x00"),
    v2(0x21, 0x21, bytes(36)),
    v2(0x21, 0x31, bytes(216)),
    v2(0x21, 0x00, b""),
    v2(0x20, 0x00, b""),
    v2(0x20, 0xFF, b"anything"),
    v2(0x21, 0x11, IPV4 + bytes(MAX_V2 - 16 - 12)),
]


@pytest.mark.parametrize("header", GOOD)
def test_in_pieces(header: bytes) -> None:
    """What is not whole is waited for, what follows is passed on."""
    taken = take_header(header)
    assert taken is not None and taken[1] == b""

    assert take_header(header + b"GET / HTTP/1.1\r\n") == (taken[0], b"GET / HTTP/1.1\r\n")
    for end in range(len(header)):
        assert take_header(header[:end]) is None


@pytest.mark.parametrize("header", GOOD)
def test_twisted_agrees(header: bytes) -> None:
    """Its parser, which is used nowhere else, finds the same address."""
    source, _ = take_header(header) or (None, b"")

    info, rest = twisteds_parser(header).feed(header + b"rest")

    assert info is not None and rest == b"rest"
    found = getattr(info.source, "host", None), getattr(info.source, "port", None)
    if source is None:
        assert found == (None, None)
    else:
        assert (ip_address(found[0]), found[1]) == (ip_address(source.host), source.port)


def twisteds_parser(header: bytes) -> V1Parser | V2Parser:
    return V1Parser() if header.startswith(b"PROXY") else V2Parser()


def test_shortest_form() -> None:
    """One address has one text, whichever way it comes."""
    packed = ip_address("2001:db8::7").packed + bytes(16) + bytes([0x12, 0x67, 1, 0xBB])
    line = b"PROXY TCP6 2001:DB8:0:0:0:0:0:7 ::1 4711 443\r\n"

    assert take_header(v2(0x21, 0x21, packed)) == (ProxiedClient("2001:db8::7", 4711), b"")
    assert take_header(line) == (ProxiedClient("2001:db8::7", 4711), b"")


@pytest.mark.parametrize("line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN a b c d\r\n"])
def test_unknown(line: bytes) -> None:
    """Health checks of HAProxy's send the short form, which Twisted refuses."""
    assert take_header(line + b"rest") == (None, b"rest")


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\x00",
        b"PROXY  TCP4 198.51.100.7 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 198.51.100.7 10.0.0.1 4711\r\n",
        b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443 1\r\n",
        b"PROXY TCP4 198.51.100.7 10.0.0.1 x 443\r\n",
        b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 65536\r\n",
        b"PROXY TCP4 198.51.100.700 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 2001:db8::7 ::1 4711 443\r\n",
        b"PROXY TCP6 198.51.100.7 10.0.0.1 4711 443\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 4711 443\r\n",
        b"PROXY TCP4 \xff 10.0.0.1 4711 443\r\n",
        b"PROXY TCP4 1.2.3.4\n5 10.0.0.1 4711 443\r\n",
        b"PROXY UDP4 198.51.100.7 10.0.0.1 4711 443\r\n",
        b"PROXY UNKNOWN\n\r\n",
        b"proxy TCP4 198.51.100.7 10.0.0.1 4711 443\r\n",
        b"PROXY " + b"x" * MAX_V1,
        v2(0x11, 0x11, IPV4),
        v2(0x22, 0x11, IPV4),
        v2(0x21, 0x12, IPV4),
        v2(0x21, 0x13, IPV4),
        v2(0x21, 0x41, IPV4),
        v2(0x21, 0x11, IPV4[:-1]),
        v2(0x21, 0x21, IPV4),
        v2(0x21, 0x11, IPV4, length=MAX_V2),
        v2(0x20, 0x00, b"", length=0xFFFF),
    ],
)
def test_bad(data: bytes) -> None:
    with pytest.raises(BadHeader):
        take_header(data)


@hypothesis.given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]),
    st.binary(max_size=300),
)
def test_anything(begin: bytes, rest: bytes) -> None:
    """Whatever comes is refused, waited for within bounds, or taken as Twisted takes it."""
    data = begin + rest
    try:
        taken = take_header(data)
    except BadHeader:
        return
    if taken is None:
        assert len(data) < MAX_V2
    elif not data.startswith(b"PROXY UNKNOWN"):
        assert twisteds_parser(data).feed(data)[1] == taken[1]
