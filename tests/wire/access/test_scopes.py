"""What a key's scope lets through, byte by byte: the whole front before a fake backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted.access.keys import Scope

Start = Callable[..., Any]


def rpc(method: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": {}}).encode()


@pytest.mark.parametrize(
    ("scope", "passed"),
    [
        (Scope.FULL, ["session.create", "prompt.submit", "shell.exec", "session.list"]),
        (Scope.CHAT, ["session.create", "prompt.submit", "session.list"]),
        (Scope.WATCH, ["session.list"]),
    ],
)
def test_scope(start: Start, scope: Scope, passed: list[str]) -> None:
    """What the key's scope denies never reaches the backend; the connection goes on."""
    server = start(scope=scope)
    wire, channel = server.attach()

    asked = ["session.create", "prompt.submit", "shell.exec", "session.list"]
    wire.send(*map(rpc, asked))

    assert [frame.method for frame in channel.requests] == passed
    errors = {f["id"]: f["error"]["code"] for f in map(json.loads, wire.texts())}
    assert errors == {method: -32001 for method in asked if method not in passed}
    assert server.meter.of("denied", scope) == len(asked) - len(passed)
    assert wire.connected


def test_denials_are_audited(start: Start) -> None:
    """How many there were, when the client has gone; not which."""
    server = start(scope=Scope.WATCH)
    wire, _channel = server.attach()
    wire.send(b'{"id":1,"method":"shell.exec"}', b'{"id":2,"method":"session.list"}')

    wire.hang_up()

    assert [event["denied"] for event in server.audit.events if event["event"] == "closed"] == [1]
