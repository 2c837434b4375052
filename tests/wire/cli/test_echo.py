"""The echo for conformance tests: the product's protocol, with messages that come back."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from hermes_twisted.cli.echo import EchoSite, make_echo_site
from hermes_twisted.limits import Limits
from hermes_twisted.testing.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    MemoryWire,
    WebSocketFrame,
    client_frame,
    handshake,
    request,
)
from tests.wire.conftest import MemoryLoop

Connect = Callable[..., MemoryWire]


@pytest.fixture
def connect(clock: MemoryLoop) -> Iterator[Connect]:
    """Connects to an echo with these limits."""
    wires: list[MemoryWire] = []

    def connect(**limits: int) -> MemoryWire:
        site: EchoSite = make_echo_site(
            clock,
            Limits(**limits),  # type: ignore[arg-type]
            lambda call: clock.callLater(0, call),
        )
        wires.append(MemoryWire(site.buildProtocol, clock))
        return wires[-1]

    yield connect
    for wire in wires:
        wire.hang_up()


def opened(wire: MemoryWire, path: str = "/") -> MemoryWire:
    assert wire.ask(handshake(path)).status == 101
    return wire


@pytest.mark.parametrize("path", ["/", "/api/ws", "/anything?case=1"])
def test_every_path(connect: Connect, path: str) -> None:
    """There is no key and no path to know; text and binary come back as what they are."""
    wire = opened(connect(), path)

    wire.feed(
        client_frame(b"text") + client_frame(b"\xff\x00", BINARY) + client_frame(b""),
        client_frame(b"a", BINARY, fin=False) + client_frame(b"b", CONTINUATION),
    )

    assert wire.frames() == [
        WebSocketFrame(TEXT, True, b"text"),
        WebSocketFrame(BINARY, True, b"\xff\x00"),
        WebSocketFrame(TEXT, True, b""),
        WebSocketFrame(BINARY, True, b"ab"),
    ]


@pytest.mark.parametrize("size", [125, 126, 65535, 65536, 200_000])
@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_sizes(connect: Connect, opcode: int, size: int) -> None:
    """Of any size."""
    wire = opened(connect())

    wire.feed(client_frame(b"x" * size, opcode))

    assert wire.frames() == [WebSocketFrame(opcode, True, b"x" * size)]


def test_pings(connect: Connect) -> None:
    """Control frames are the protocol's own."""
    wire = opened(connect())

    wire.feed(client_frame(b"p", PING))

    assert wire.frames() == [WebSocketFrame(PONG, True, b"p")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(b"x" * 1001, BINARY), 1009),
        (client_frame(b"\xff"), 1007),
        (client_frame(b"", rsv=1), 1002),
        (client_frame(b"", fin=False) + client_frame(b"", CONTINUATION, fin=False) * 5, 1008),
    ],
)
def test_same_limits(connect: Connect, data: bytes, code: int) -> None:
    """Limits and violations are the product's."""
    wire = opened(connect(max_message=1000, max_fragments=5))

    wire.feed(data)

    [frame] = wire.frames()
    assert (frame.opcode, frame.close_code) == (CLOSE, code)


def test_same_handshake(connect: Connect) -> None:
    """So is what a handshake has to be."""
    assert connect().ask(request("GET", "/", [("Host", "a")])).status == 426
    assert connect().ask(handshake("/", without=["Host"])).status == 400


def test_after_a_close(connect: Connect) -> None:
    """Nothing comes back once a close has come."""
    wire = opened(connect())

    wire.feed(client_frame(b"\x03\xe8", CLOSE) + client_frame(b"late"))

    assert [frame.opcode for frame in wire.frames()] == [CLOSE]
    assert not wire.connected
