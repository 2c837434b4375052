"""What the record says of each client, and that it says nothing of what was said."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted.seats.journal import REFUSALS
from hermes_twisted.testing.wire import CLOSE, PING, client_frame, handshake, request

HOST = ("Host", "127.0.0.1:8643")
KEY_FIELDS = {"key": "main", "key_id": "main", "scope": "full"}

#: Starts servers; `tests/wire/conftest.py` has it.
Start = Callable[..., Any]


def closed(server: Any) -> dict[str, Any]:
    [event] = server.audit.of("closed")
    return dict(event)


def closing(code: int) -> bytes:
    return client_frame(struct.pack("!H", code), CLOSE)


def test_a_client_comes_and_goes(server: Any) -> None:
    """Admitted, opened, closed: by whom, from where, on which seat, how much, for how long."""
    wire, channel = server.attach()
    peer = server.audit.events[1]["peer"]
    texts = [json.dumps({"id": n, "method": "echo"}).encode() for n in range(3)]
    sent = [client_frame(text) for text in texts]
    wire.feed(b"".join(sent), client_frame(b"", PING))
    channel.say(b'{"a": 1}', b'{"b": "' + b"x" * 300 + b'"}')
    server.loop.advance(2.5)
    wire.feed(closing(1000))

    assert [event["event"] for event in server.audit.events[1:]] == ["admitted", "opened", "closed"]
    admitted, opened, ended = server.audit.events[1:]
    assert admitted == {"event": "admitted", "peer": peer, **KEY_FIELDS}
    assert opened == {"event": "opened", "seat": 1, "peer": peer, **KEY_FIELDS}
    assert ended == {
        "event": "closed",
        "seat": 1,
        "peer": peer,
        **KEY_FIELDS,
        "ended_by": "client",
        "code": 1000,
        "seconds": 2.5,
        "frames_in": 3,
        "bytes_in": sum(map(len, sent)) + 6 + 8,
        "frames_out": 2,
        "bytes_out": 2 + 8 + 4 + 309,
        "denied": 0,
    }


def test_fragments_are_one_message(server: Any) -> None:
    """Autobahn's path counts as ours does."""
    wire, _channel = server.attach()

    wire.feed(client_frame(b'{"id": 1,', fin=False), client_frame(b'"method": "echo"}', 0))
    wire.feed(closing(1000))

    assert closed(server)["frames_in"] == 1


def hang_up(server: Any, wire: Any) -> None:
    wire.hang_up()


def violate(server: Any, wire: Any) -> None:
    wire.feed(client_frame(b"x", 2))
    wire.hang_up()


def stay_silent(server: Any, wire: Any) -> None:
    server.loop.pump([20.0] * 60)


def read_nothing(server: Any, wire: Any) -> None:
    wire.block()
    server.backend.channels[-1].say(b"x" * 5000, b"x" * 5000)
    server.loop.advance(0)


def stop(server: Any, wire: Any) -> None:
    server.stop()
    wire.feed(closing(1001))


@pytest.mark.parametrize(
    ("end", "ended_by", "code"),
    [
        (hang_up, "connection-lost", None),
        (violate, "violation", 1003),
        (stay_silent, "silence", None),
        (read_nothing, "slow-reader", None),
        (stop, "server", 1001),
    ],
)
def test_what_ended_it(start: Start, end: Any, ended_by: str, code: int | None) -> None:
    """An operator can tell a network that drops from a client that misbehaves."""
    server = start(max_queued_hard=4000, max_queued_soft=4000)
    wire, _channel = server.attach()

    end(server, wire)

    assert (closed(server)["ended_by"], closed(server).get("code")) == (ended_by, code)


@pytest.mark.parametrize(
    ("target", "headers", "status"),
    [
        ("/api/ws?token=wrong-key", [], 401),
        ("/api/ws", [], 401),
        ("/api/ws?token=a&token=b", [], 400),
        ("/api/ws", [("Origin", "http://evil")], 403),
        ("/api/ws/wrong-key", [], 404),
        ("/wrong-key", [("Cookie", "wrong-key")], 404),
    ],
)
def test_refused(server: Any, target: str, headers: list[Any], status: int) -> None:
    """Kept out, with the reason and the address, and nothing of the request."""
    assert server.wire().ask(handshake(target, headers)).status == status

    [event] = server.audit.of("refused")
    assert event.keys() == {"event", "reason", "status", "peer"}
    assert event["status"] == status
    assert "wrong-key" not in str(server.audit.events)


def test_a_large_body(server: Any) -> None:
    """Refused before it is a request, and noted all the same."""
    head = request("POST", "/", [HOST, ("Content-Length", "100000000")])

    assert server.wire().ask(head).status == 413

    [event] = server.audit.of("refused")
    assert event["status"] == 413


def test_held(server: Any) -> None:
    """Who is kept in the waiting room is refused, not admitted, and takes no seat."""
    node = [("User-Agent", "node")]
    assert server.wire().ask(handshake("/api/ws?token=wrong", node), head=True).status == 101

    [event] = server.audit.events[1:]
    assert (event["event"], event["reason"], event["held"]) == ("refused", "key-wrong", True)


def test_pages_are_not_noted(server: Any) -> None:
    """Health checks would fill it."""
    for page in ("/", "/health", "/ready"):
        server.wire().ask(request("GET", page, [HOST]))

    assert [event["event"] for event in server.audit.events] == ["server-started"]


def test_a_storm_of_refusals(server: Any) -> None:
    """So many lines, then counts, which are written within seconds."""
    for _ in range(500):
        server.wire().ask(handshake("/api/ws"))
    assert len(server.audit.of("refused")) == REFUSALS

    server.loop.advance(20.0)

    [more] = server.audit.of("more-refused")
    assert more["count"] == 500 - REFUSALS


def test_start_and_stop(server: Any) -> None:
    """The record begins and ends with the server, which then closes it."""
    server.stop()

    first, *_rest, last = server.audit.events
    assert first["event"] == "server-started"
    assert first["version"]
    assert first["listening"] == "127.0.0.1:8643"
    assert last["event"] == "server-stopped"
    assert server.audit.closed


def test_autobahn_sees_a_handshake_only(server: Any) -> None:
    """It quotes the request in its debug lines: no header gets there that it does not need."""
    wire = server.wire()
    seen: list[bytes] = []
    headers = [("Cookie", "k=" + server.key), ("X-Api-Key", server.key), ("User-Agent", "node")]
    factory = server.loop.site._pages[b"/api/ws"]._factory
    build = factory.build

    def spy(arrival: Any) -> Any:
        protocol = build(arrival)
        receive = protocol.dataReceived
        protocol.dataReceived = lambda data: (seen.append(data), receive(data))
        return protocol

    factory.build = spy
    assert wire.upgrade(server.key, headers=headers).status == 101

    [head] = seen
    assert head.startswith(b"GET /api/ws HTTP/1.1\r\n")
    assert server.key.encode() not in head
    assert b"node" not in head
