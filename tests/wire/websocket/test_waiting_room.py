"""The courtesy hold: refused terminal UIs that are told why, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted.seats.ports import BackendState
from hermes_twisted.testing.wire import MemoryWire, client_frame, handshake

Start = Callable[..., Any]

UI = ("User-Agent", "undici")


def hold(server: Any, key: str = "wrong") -> MemoryWire:
    """A terminal UI with a wrong key, in the waiting room."""
    wire: MemoryWire = server.wire()
    assert wire.upgrade(key, headers=[UI]).status == 101
    return wire


def events(wire: MemoryWire) -> list[str]:
    return [json.loads(text)["params"]["type"] for text in wire.texts()]


def test_told_and_no_more(server: Any) -> None:
    """It is told what is wrong; there is no seat, no `gateway.ready`, no answer with content."""
    server.backend.change(BackendState.READY)
    wire = hold(server)

    assert events(wire) == ["notification.show", "browser.progress"]
    wire.send(b'{"id":"r1","method":"shell.exec","params":{"command":"id"}}')
    assert [json.loads(text) for text in wire.texts()] == [
        {"jsonrpc": "2.0", "id": "r1", "result": {}}
    ]
    assert not server.backend.channels
    assert len(server.service._directory) == 0


@pytest.mark.parametrize(
    ("target", "status"),
    [("/api/ws?token=wrong", 101), ("/api/ws", 101), ("/api/ws?token=a&token=b", 101)],
)
def test_whose_key_is_wrong(server: Any, target: str, status: int) -> None:
    """Missing, wrong or doubled keys are a person's mistakes."""
    assert server.wire().ask(handshake(target, [UI])).status == status


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("User-Agent", "Mozilla/5.0")],
        [UI, ("Origin", "https://page.example")],
        [UI, ("Origin", "null")],
    ],
)
def test_nobody_else(server: Any, headers: list[tuple[str, str]]) -> None:
    """Other clients, and every web page, are refused before the upgrade."""
    assert server.wire().upgrade("wrong", headers=headers).status in (401, 403)


def test_can_be_switched_off(start: Start) -> None:
    """Then it is HTTP for everyone."""
    server = start({"no_courtesy_hold": True})

    assert server.wire().upgrade("wrong", headers=[UI]).status == 401


def test_few_are_held(start: Start) -> None:
    """Beyond the places it is HTTP again; who leaves makes room."""
    server = start(max_held_per_address=2)
    first = hold(server)
    hold(server)
    assert server.wire().upgrade("wrong", headers=[UI]).status == 401

    first.hang_up()

    hold(server)


def test_few_are_held_in_all(start: Start) -> None:
    """However many addresses they come from."""
    server = start(max_held=1)
    hold(server)

    assert server.wire().upgrade("wrong", headers=[UI]).status == 401


def test_let_go_by_abort(server: Any) -> None:
    """After a minute, without a close frame: that would make the UI come again at once."""
    wire = hold(server)
    wire.take()
    server.loop.advance(59.9)
    assert wire.connected

    server.loop.advance(0.2)

    assert not wire.connected
    assert wire.take() == b""
    hold(server)


def test_goes_by_itself(server: Any) -> None:
    """A client that closes is answered, and its place is free; no timer is left."""
    wire = hold(server)
    wire.texts()
    wire.feed(client_frame(b"\x03\xe8", opcode=8))

    assert wire.frames()[0].close_code == 1000
    wire.hang_up()
    hold(server)
    hold(server)


@pytest.mark.parametrize("size", [17 * 1024, 70_000])
def test_tiny_limits_on_messages(server: Any, size: int) -> None:
    """A large message ends it."""
    wire = hold(server)
    wire.texts()

    wire.feed(client_frame(b"x" * size))

    server.loop.advance(2.1)
    assert not wire.connected


def test_tiny_limits_in_all(server: Any) -> None:
    """So does chatter."""
    wire = hold(server)
    frame = client_frame(b'{"id":1,"method":"' + b"x" * 10_000 + b'"}')
    fed = 0
    while wire.connected:
        wire.feed(frame)
        wire.take()
        fed += len(frame)
        assert fed < 300 * 1024


def test_binary_and_rubbish(server: Any) -> None:
    """Nothing that it sends does anything."""
    wire = hold(server)
    wire.texts()
    wire.feed(client_frame(b"\0\1", opcode=2), client_frame(b"  "), client_frame(b"{"))

    assert [json.loads(text)["error"]["code"] for text in wire.texts()] == [-32700]
    assert not server.backend.channels


def test_the_key_does_not_reach_autobahn(server: Any, log: list[dict[str, Any]]) -> None:
    """A wrong key may be the right one of another server: it is in no log."""
    hold(server, "hat_of-another-server-000000")

    assert "another-server" not in repr(log)


def test_a_stop_lets_them_go(server: Any) -> None:
    """The stop does not wait for them."""
    wire = hold(server)

    server.stop()
    server.loop.advance(0)

    assert not wire.connected


def test_counted(start: Start) -> None:
    """Holds are counted by what was wrong."""
    server = start()
    hold(server)

    assert server.meter.of("held", "key-wrong") == 1
    assert server.meter.of("admission", "key-wrong") == 1
