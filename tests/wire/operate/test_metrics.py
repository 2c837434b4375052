"""What an operator sees of the whole front: /metrics, /ready and the commands."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.address import IPv4Address, UNIXAddress

from hermes_twisted.operate.control import KICKED
from hermes_twisted.operate.metrics import Metrics
from hermes_twisted.rpc import notice
from hermes_twisted.seats.ports import BackendState
from hermes_twisted.shared.problem import Problem
from hermes_twisted.testing.wire import CLOSE, PING, PONG, client_frame, request

Start = Callable[..., Any]

HOST = ("Host", "127.0.0.1:8643")
ELSEWHERE = IPv4Address("TCP", "192.0.2.1", 50000)


@pytest.fixture
def watched(start: Start) -> Iterator[Any]:
    """A server with metrics."""
    yield start(metrics=Metrics())


def ask(server: Any, target: str = "/metrics", *headers: tuple[str, str], **options: Any) -> Any:
    return server.wire(**options).ask(request("GET", target, [HOST, *headers]))


def page(server: Any) -> dict[tuple[str, ...], float]:
    """Each sample: its name without the prefix, and its label values by the labels' order."""
    response = ask(server)
    assert response.status == 200
    return {
        (s.name.removeprefix("hermes_attach_"), *(v for _n, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(response.body.decode())
        for s in family.samples
    }


def command(server: Any, name: str, **more: Any) -> dict[str, Any]:
    """An operator's request, as it comes over the control socket."""
    commands = server.service.operations.commands
    answer: dict[str, Any] = json.loads(
        commands.answer(json.dumps({"command": name, **more}).encode())
    )
    return answer


# Who may read.


def test_who_may_read(watched: Any) -> None:
    """Programs on this machine, and keys; nobody else, and no web page."""
    bearer = ("Authorization", f"Bearer {watched.key}")
    assert ask(watched).status == 200
    assert ask(watched).headers["content-type"].startswith("text/plain; version=")
    assert ask(watched, peer=ELSEWHERE).status == 401
    assert ask(watched, "/metrics", bearer, peer=ELSEWHERE).status == 200
    assert ask(watched, f"/metrics?token={watched.key}", peer=ELSEWHERE).status == 200
    assert ask(watched, "/metrics", ("X-Forwarded-For", "192.0.2.1")).status == 401
    assert ask(watched, "/metrics", ("Origin", "https://evil.example")).status == 403
    assert ask(watched, peer=UNIXAddress("/run/attach.sock")).status == 401
    rebound = watched.wire().ask(request("GET", "/metrics", [("Host", "evil.example:8643")]))
    assert rebound.status == 403


def test_wrong_keys_add_up(start: Start) -> None:
    """Whoever tries keys here is slowed down as at the other door, and counts there, too."""
    server = start(metrics=Metrics(), max_failures=2)
    wrong = ("Authorization", "Bearer wrong")

    assert [ask(server, "/metrics", wrong).status for _ in range(3)] == [401, 401, 429]
    assert server.wire().upgrade("wrong").status == 429
    scrapes = page(server)
    assert scrapes["scrapes_total", "key-wrong"] == 2
    assert scrapes["scrapes_total", "too-many-failures"] == 1
    assert scrapes["admissions_total", "too-many-failures"] == 1


def test_only_with_a_key(start: Start) -> None:
    """--metrics-need-key: for servers behind a proxy on the same machine."""
    server = start({"metrics_need_key": True}, metrics=Metrics())

    assert ask(server).status == 401
    assert ask(server, "/metrics", ("Authorization", f"Bearer {server.key}")).status == 200


def test_no_secret(watched: Any) -> None:
    """No key, no key's name and no address is on the page."""
    watched.attach()
    watched.wire().upgrade("wrong-but-secret-too")

    page = ask(watched).body.decode()

    # Without the values: the digits of a time can be the port's by chance.
    text = "\n".join(line.rpartition(" ")[0] for line in page.splitlines())
    for secret in (watched.key, "wrong-but", "main", "127.0.0.1", "50000"):
        assert secret not in text


def test_after_the_stop(watched: Any) -> None:
    """A connection that outlives the stop learns nothing any more."""
    wire = watched.wire()
    watched.stop()

    assert wire.ask(request("GET", "/metrics", [HOST])).status == 503


# What is on the page.


def test_links(watched: Any) -> None:
    """Who is attached, what goes through, and what has gone through before."""
    wire, channel = watched.attach()
    wire.send(b'{"jsonrpc":"2.0","id":1,"method":"a.b"}')
    channel.say(b"x" * 100)
    watched.loop.advance(0)

    found = page(watched)
    assert found["links",] == found["seats", "full"] == 1
    assert found["seats", "watch"] == 0
    assert found["admissions_total", "admitted"] == 1
    assert found["messages_total", "in"] == found["messages_total", "out"] == 1
    assert found["bytes_total", "out"] == 102
    assert found["events_total",] == 1
    assert found["waiting_requests",] == 1
    assert found["ready",] == 1

    wire.hang_up()
    after = page(watched)
    assert after["links",] == after["waiting_requests",] == 0
    for name in (("messages_total", "in"), ("bytes_total", "out"), ("events_total",)):
        assert after[name] == found[name]


def test_slow_client(start: Start) -> None:
    """What waits for whom is seen, and what was left out."""
    server = start(metrics=Metrics(), max_queued_soft=1000, max_queued_hard=100_000)
    (slow, channel), _other = server.attach(), server.attach()
    slow.block()
    channel.say(b"x" * 500)
    server.loop.advance(0)

    found = page(server)
    assert found["queued_bytes",] == found["queued_bytes_largest",] == 500
    assert found["slow_links",] == 1
    assert found["paused_links",] == 0
    assert found["shed_total",] == 0
    channel.outbox.note_shed(9)
    assert page(server)["shed_total",] == 9
    row = command(server, "status")["status"]["seats"][0]
    assert (row["queued_bytes"], row["writable"], row["total"]["shed"]) == (500, False, 9)
    slow.unblock()


def test_round_trip(watched: Any) -> None:
    """A pong is measured, and told for its link; one that nobody asked for is not."""
    wire, _channel = watched.attach()
    watched.loop.advance(20)
    (ping,) = wire.frames()
    assert ping.opcode == PING
    watched.loop.advance(0.25)
    wire.feed(client_frame(b"unasked", PONG))
    assert command(watched, "status")["status"]["seats"][0]["round_trip"] is None

    wire.feed(client_frame(ping.payload, PONG))

    assert page(watched)["ping_round_trip_seconds_count",] == 1
    assert page(watched)["ping_round_trip_seconds_sum",] == pytest.approx(0.25)
    assert command(watched, "status")["status"]["seats"][0]["round_trip"] == pytest.approx(0.25)


def test_backend(watched: Any) -> None:
    """Its state, how often it was started again, and limits that struck."""
    watched.backend.change(BackendState.RESTARTING, Problem("It died.", "Wait."))
    watched.backend.change(BackendState.READY)
    watched.backend.change(BackendState.BROKEN, Problem("It is /secret/path.", "Repair it."))

    found = page(watched)
    assert found["backend_restarts_total",] == 1
    assert found["backend_state", "broken"] == 1
    assert found["backend_state", "ready"] == 0
    assert found["backend_changes_total", "ready"] == 2
    assert found["ready",] == 0
    ready = json.loads(ask(watched, "/ready").body)
    assert ready["status"] == "broken"
    assert "secret" not in ready["reason"]
    backend = command(watched, "status")["status"]["backend"]
    assert backend["problem"] == "It is /secret/path. Repair it."


def test_loop_lag(watched: Any) -> None:
    """Once a second the loop is asked how late it is."""
    watched.loop.pump([1.0, 1.0, 4.0])

    found = page(watched)
    assert found["loop_lag_seconds_count",] == 3
    assert found["loop_lag_seconds_sum",] == pytest.approx(3.0)


# The operator's commands.


def test_status(watched: Any) -> None:
    """Who is attached, since when, from where, with which key; rates of the last seconds."""
    wire, channel = watched.attach()
    watched.loop.pump([1.0] * 6)
    wire.take()
    for _ in range(10):
        channel.say(b"x" * 8)
    watched.loop.advance(0)
    watched.loop.pump([1.0] * 4)

    status = command(watched, "status")["status"]

    (row,) = status["seats"]
    assert (row["seat"], row["key"], row["scope"]) == (1, "main", "full")
    assert row["peer"] == "127.0.0.1:50000"
    assert row["attached_for"] == 10
    assert row["total"]["frames_out"] == row["total"]["events"] == 10
    assert row["per_second"]["frames_out"] == 2.0  # Of the last 5 s.
    assert row["per_second"]["bytes_out"] == 20.0
    assert status["ready"]
    assert status["listening"] == ["127.0.0.1:8643"]
    assert watched.key not in json.dumps(status)
    watched.loop.pump([1.0] * 12)
    assert command(watched, "status")["status"]["seats"][0]["per_second"]["frames_out"] == 0.0


def test_kick(watched: Any, log: list[dict[str, Any]]) -> None:
    """One terminal is told and closed with 1008; the others do not notice."""
    (wire, _), (other, _) = watched.attach(), watched.attach()

    answer = command(watched, "kick", seat=1)

    assert answer == {"ok": True, "seat": 1, "key": "main", "peer": "127.0.0.1:50000"}
    told, closed = wire.frames()
    assert told.payload == notice(f"This terminal is being disconnected: {KICKED}.")
    assert (closed.opcode, closed.close_code) == (CLOSE, 1008)
    assert closed.payload[2:].decode() == KICKED
    assert other.frames() == []
    assert command(watched, "kick", seat=1)["error"].startswith("Seat 1 is being disconnected")
    wire.hang_up()
    assert command(watched, "kick", seat=1)["error"].startswith("There is no seat 1")
    assert page(watched)["kicks_total",] == 1
    assert command(watched, "kick", seat=2, reason="maintenance")["ok"]
    assert other.frames()[1].payload[2:] == b"maintenance"


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"", "not an object of JSON"),
        (b"[1]", "not an object of JSON"),
        (b"\xff", "not an object of JSON"),
        (b"[" * 4000, "not an object of JSON"),
        (b"{}", "no such command"),
        (b'{"command":["status"]}', "no such command"),
        (b'{"command":"kick"}', "not a number"),
        (b'{"command":"kick","seat":true}', "not a number"),
        (b'{"command":"kick","seat":"1"}', "not a number"),
        (b'{"command":"kick","seat":99}', "no seat 99"),
        (b'{"command":"kick","seat":1,"reason":7}', "not a text"),
        (b'{"command":"kick","seat":1,"reason":"\\u001b[2J"}', "control characters"),
        (b'{"command":"kick","seat":1,"reason":"' + b"x" * 124 + b'"}', "at most 123 bytes"),
    ],
)
def test_mistakes(watched: Any, line: bytes, error: str) -> None:
    """What cannot be done is answered in words, and nobody is disconnected."""
    wire, _ = watched.attach()

    answer = json.loads(watched.service.operations.commands.answer(line))

    assert answer["ok"] is False
    assert error in answer["error"]
    assert wire.frames() == []
