"""HTTP on the port: the pages, the refusals in words, and the limits on who has shown no key."""

from __future__ import annotations

import html
import json
import re
import resource
import tempfile
from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.address import IPv6Address, UNIXAddress
from twisted.logger import LogLevel

from hermes_twisted.listen.peers import peer_name
from hermes_twisted.seats.ports import BackendState
from hermes_twisted.testing.wire import MemoryWire, Response, client_frame, handshake, request

#: Starts servers; `tests/wire/conftest.py` has these.
Start = Callable[..., Any]

HOST = ("Host", "127.0.0.1:8643")
ADVICE = "Set HERMES_TUI_GATEWAY_URL"


def get(wire: MemoryWire, target: str, *headers: tuple[str, str]) -> Response:
    return wire.ask(request("GET", target, [HOST, *headers]))


def refusal(server: Any, data: bytes) -> Response:
    """The answer to a handshake that must not get a seat."""
    response = server.wire().ask(data)
    assert response.status != 101
    assert not server.backend.channels
    return response


# The pages.


def test_index(server: Any) -> None:
    """The index says in plain text how to attach."""
    response = get(server.wire(), "/")

    assert response.status == 200
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert b"HERMES_TUI_GATEWAY_URL='ws://THIS-HOST:PORT/api/ws?token=KEY'" in response.body


def test_health(server: Any) -> None:
    """/health answers as long as the front does, whatever Hermes does."""
    server.backend.change(BackendState.BROKEN)

    response = get(server.wire(), "/health")

    assert (response.status, json.loads(response.body)) == (200, {"status": "ok"})
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize("state", list(BackendState))
def test_ready(server: Any, state: BackendState) -> None:
    """/ready is 200 while requests are answered, else 503 with the state."""
    server.backend.change(state)

    response = get(server.wire(), "/ready")

    assert response.status == (200 if state is BackendState.READY else 503)
    body = json.loads(response.body)
    assert body.pop("status") == state.value
    assert ("reason" in body) is (state is not BackendState.READY)


@pytest.mark.parametrize(
    "target", ["/", "/health", "/health?a=b", "/ready", "/no/such/page", "/api/ws"]
)
def test_page_headers(server: Any, target: str) -> None:
    """No page names the software, may be kept, or be taken for another type."""
    response = get(server.wire(), target)

    assert "server" not in response.headers
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("target", ["/", "/health", "/ready", "/no/such/page"])
def test_head(server: Any, target: str) -> None:
    """HEAD has the headers of GET and no body."""
    wire = server.wire()
    expected = get(server.wire(), target)

    response = wire.ask(request("HEAD", target, [HOST]), head=True)

    assert response.status == expected.status
    assert response.headers["content-length"] == expected.headers["content-length"]
    assert not wire.writes


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X"])
def test_only_get(server: Any, method: str) -> None:
    """Pages can only be read."""
    response = server.wire().ask(request(method, "/health", [HOST]))

    assert response.status == 405
    assert response.headers["allow"] == "GET, HEAD"


def test_connection_is_kept(server: Any) -> None:
    """A connection may ask for several pages, also in one segment."""
    wire = server.wire()

    wire.feed(request("GET", "/health", [HOST]) + request("GET", "/", [HOST]))

    assert wire.response().body == b'{"status": "ok"}\n'
    assert wire.response().body.startswith(b"hermes-attach")
    assert get(wire, "/ready").status == 200
    assert wire.connected


def test_http_1_0(server: Any) -> None:
    """An old client gets its page, and the connection's end."""
    wire = server.wire()

    response = wire.ask(b"GET /health HTTP/1.0\r\n\r\n")

    assert response.status == 200
    assert not wire.connected


@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_star(server: Any, method: str) -> None:
    """`*` is no page, and twisted.web's own answer to it names no software either."""
    response = server.wire().ask(request(method, "*", [HOST]))

    assert response.body == b""
    assert "server" not in response.headers


def test_failing_page(server: Any, forgiven: list[Any]) -> None:
    """A page with a bug is a 500 that tells nothing about it."""
    forgiven.append(AttributeError)
    server.backend.state = None

    response = get(server.wire(), "/ready")

    assert response.status == 500
    assert b"Attribute" not in response.body
    assert "server" not in response.headers


# Exactly one path.

OTHER_PATHS = [
    "/api/ws/",
    "/api/ws/extra",
    "/api//ws",
    "//api/ws",
    "/api/./ws",
    "/x/../api/ws",
    "/api/%77s",
    "/api%2Fws",
    "/API/WS",
    "/api/ws;a=b",
    "/api/ws%3Ftoken",
    "/api",
    "/ws",
    "/health/",
    "/ready/x",
    "/index.html",
    "http://127.0.0.1:8643/api/ws",
    "http://127.0.0.1:8643/health",
]


@pytest.mark.parametrize("path", OTHER_PATHS)
@pytest.mark.parametrize("upgrade", [False, True], ids=["page", "upgrade"])
def test_exact_paths(server: Any, path: str, upgrade: bool) -> None:
    """A path that only resembles one of ours is nothing; the page names the right one."""
    target = f"{path}?token={server.key}"
    data = handshake(target) if upgrade else request("GET", target, [HOST])

    response = refusal(server, data)

    assert response.status == 404
    assert b"/api/ws" in response.body


# What is no handshake.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (request("GET", "/api/ws", [HOST]), 426),
        (handshake("/api/ws", without=["Upgrade"]), 426),
        (handshake("/api/ws", without=["Connection"]), 426),
        (handshake("/api/ws", [("Upgrade", "h2c")]), 426),
        (handshake("/api/ws", [("Connection", "keep-alive")]), 426),
        (handshake("/api/ws", [("Sec-WebSocket-Version", "8")]), 426),
        (handshake("/api/ws", without=["Sec-WebSocket-Version"]), 400),
        (handshake("/api/ws", without=["Sec-WebSocket-Key"]), 400),
        (handshake("/api/ws", [("Sec-WebSocket-Key", "short")]), 400),
        (handshake("/api/ws", [("Content-Length", "3")]) + b"abc", 400),
        (request("POST", "/api/ws", [HOST]), 405),
        (request("POST", "/api/ws", [HOST, ("Content-Length", "3")], b"abc"), 405),
        (handshake("/api/ws").replace(b"GET", b"POST"), 405),
        (handshake("/api/ws").replace(b"HTTP/1.1", b"HTTP/1.0"), 400),
    ],
)
def test_no_handshake(server: Any, data: bytes, status: int) -> None:
    """What is no WebSocket handshake is refused by its first fault, before any key is looked at."""
    data = data.replace(b"/api/ws", b"/api/ws?token=" + server.key.encode(), 1)

    response = refusal(server, data)

    assert response.status == status


def test_upgrade_required(server: Any) -> None:
    """Who opens /api/ws like a page is told what to set."""
    response = refusal(server, request("GET", "/api/ws", [HOST]))

    assert response.status == 426
    assert response.headers["upgrade"] == "websocket"
    assert ADVICE in response.body.decode()


def test_wrong_version(server: Any) -> None:
    """A client of another version learns the right one."""
    response = refusal(server, handshake("/api/ws", [("Sec-WebSocket-Version", "8")]))

    assert response.headers["sec-websocket-version"] == "13"


# Keys, hosts, origins.


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/api/ws", []),
        ("/api/ws?", []),
        ("/api/ws?key=KEY", []),
        ("/api/ws?TOKEN=KEY", []),
        ("/api/ws?token=", []),
        ("/api/ws?token=wrong", []),
        ("/api/ws?token=KEYx", []),
        ("/api/ws?token=%FF%00", []),
        ("/api/ws?token=" + "x" * 10_000, []),
        ("/api/ws", [("Authorization", "Bearer wrong")]),
        ("/api/ws", [("Authorization", "Basic KEY")]),
        ("/api/ws", [("Authorization", "KEY")]),
        ("/api/ws", [("Cookie", "token=KEY")]),
        ("/api/ws#?token=KEY", []),
    ],
)
def test_no_key(server: Any, target: str, headers: list[tuple[str, str]]) -> None:
    """Without the right key, in one of its two places, there is nothing but a 401 or a 404."""
    headers = [(name, value.replace("KEY", server.key)) for name, value in headers]

    response = refusal(server, handshake(target.replace("KEY", server.key), headers))

    if "#" in target:
        assert response.status == 404
    else:
        assert response.status == 401
        assert response.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/api/ws?token=KEY&token=KEY", []),
        ("/api/ws?token=KEY&token=wrong", []),
        ("/api/ws?token=KEY&%74oken=wrong", []),
        ("/api/ws?token=KEY", [("Authorization", "Bearer KEY")]),
        ("/api/ws", [("Authorization", "Bearer KEY"), ("Authorization", "Bearer KEY")]),
    ],
)
def test_key_given_twice(server: Any, target: str, headers: list[tuple[str, str]]) -> None:
    """Two keys are one too many, even when they are the same."""
    headers = [(name, value.replace("KEY", server.key)) for name, value in headers]

    response = refusal(server, handshake(target.replace("KEY", server.key), headers))

    assert response.status == 400


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8643", "https://evil.example", "null", ""])
def test_origin(server: Any, origin: str) -> None:
    """A web page may not attach, not even one that seems to be from here."""
    data = handshake(f"/api/ws?token={server.key}", [("Origin", origin)])

    response = refusal(server, data)

    assert response.status == 403
    assert b"--allow-origin" in response.body


def test_allowed_origin(start: Start) -> None:
    """Unless the operator has named its origin."""
    server = start({"allow_origin": ("https://mine.example",)})

    response = server.wire().upgrade(server.key, headers=[("Origin", "https://mine.example")])

    assert response.status == 101


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8643",
        "127.0.0.1:1",
        "127.0.0.1.evil.example",
        "a@localhost",
        "",
    ],
)
def test_host(server: Any, host: str) -> None:
    """A Host that does not name this server is refused: the defence against DNS rebinding."""
    response = refusal(server, handshake(f"/api/ws?token={server.key}", [("Host", host)]))

    assert response.status == 403
    assert b"--allow-host" in response.body


def test_no_host(server: Any) -> None:
    """So is none."""
    data = handshake(f"/api/ws?token={server.key}", without=["Host"])

    assert refusal(server, data).status in (400, 403)


@pytest.mark.parametrize("host", ["localhost:8643", "[::1]:8643", "127.0.0.1", "LOCALHOST"])
def test_own_hosts(server: Any, host: str) -> None:
    """The loopback names are this server's, with its port or none."""
    assert server.wire().upgrade(server.key, headers=[("Host", host)]).status == 101


# How a refusal looks.

REFUSED = [
    ("GET / page", request("GET", "/nothing", [HOST])),
    ("method", request("PUT", "/", [HOST])),
    ("no key", handshake("/api/ws")),
    ("wrong key", handshake("/api/ws?token=wrong")),
    ("origin", handshake("/api/ws?token=KEY", [("Origin", "http://x")])),
    ("host", handshake("/api/ws?token=KEY", [("Host", "evil.example")])),
]


@pytest.mark.parametrize("data", [data for _name, data in REFUSED], ids=[n for n, _ in REFUSED])
def test_problem_json(server: Any, data: bytes) -> None:
    """A program that accepts JSON gets the same refusal as RFC 9457 has it."""
    plain = refusal(server, data)
    head, end, body = data.partition(b"\r\n\r\n")
    accepting = head + b"\r\nAccept: application/json, */*;q=0.5" + end + body

    response = refusal(server, accepting)

    problem = json.loads(response.body)
    assert response.headers["content-type"] == "application/problem+json"
    assert response.status == plain.status == problem["status"]
    assert plain.body.decode() == f"{plain.status}: {problem['title']}\n{problem['detail']}\n"
    assert re.fullmatch("[a-z]+(-[a-z]+)*", problem["code"])


@pytest.mark.parametrize("data", [data for _name, data in REFUSED], ids=[n for n, _ in REFUSED])
def test_problem_page(server: Any, data: bytes) -> None:
    """A browser gets it as a page, which may load and run nothing."""
    plain = refusal(server, data)
    head, end, body = data.partition(b"\r\n\r\n")

    response = refusal(server, head + b"\r\nAccept: text/html,*/*;q=0.8" + end + body)

    title = plain.body.decode().splitlines()[0]
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["content-security-policy"].startswith("default-src 'none'")
    assert f"<h1>{html.escape(title)}</h1>" in response.body.decode()
    assert response.status == plain.status


def test_index_for_a_browser(server: Any) -> None:
    """The index is a page there."""
    response = get(server.wire(), "/", ("Accept", "text/html"))

    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert b"ws://THIS-HOST:PORT/api/ws?token=KEY" in response.body


SECRET = "hat_Never-To-Be-Seen-Again-0123456789"


@pytest.mark.parametrize(
    "data",
    [
        request("GET", f"/nothing-{SECRET}", [HOST]),
        request("GET", f"/?token={SECRET}", [HOST]),
        request("GET", f"/api/ws?token={SECRET}", [HOST]),
        handshake(f"/api/ws?token={SECRET}"),
        handshake(f"/api/ws?token={SECRET}&token={SECRET}"),
        handshake("/api/ws", [("Authorization", f"Bearer {SECRET}")]),
        handshake("/api/ws", [("Origin", f"http://{SECRET}")]),
        handshake("/api/ws", [("Host", SECRET)]),
        handshake("/api/ws", [("Sec-WebSocket-Key", SECRET)]),
        handshake("/api/ws", [("Sec-WebSocket-Version", SECRET)]),
        handshake("/api/ws", [("X-Odd", SECRET), ("User-Agent", SECRET), ("Referer", SECRET)]),
        request(SECRET, "/", [HOST]),
        f"GET / {SECRET}\r\n\r\n".encode(),
        f"{SECRET}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\n{SECRET}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nContent-Length: {SECRET}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nTransfer-Encoding: {SECRET}\r\n\r\n".encode(),
        f"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{SECRET}\r\n".encode(),
        request("GET", "/<script>alert(1)</script>", [HOST]),
    ],
)
def test_nothing_is_reflected(server: Any, log: list[Any], data: bytes) -> None:
    """No answer and no log event quotes the request: keys and scripts stay with their sender."""
    wire = server.wire()

    wire.feed(data)

    answer = wire.take()
    for quoted in (SECRET, "script", "alert"):
        assert quoted.encode() not in answer
        assert quoted not in repr(log)


def test_the_key_is_not_logged(server: Any, log: list[Any]) -> None:
    """Neither is the right key, wherever it came, in any event of a whole connection."""
    for target, headers in (
        (f"/api/ws?token={server.key}", []),
        ("/api/ws", [("Authorization", f"Bearer {server.key}")]),
    ):
        wire = server.wire()
        assert wire.ask(handshake(target, headers)).status == 101
        wire.feed(client_frame(b"\xff"))
        assert server.key.encode() not in wire.take()
        wire.hang_up()

    assert [
        event for event in log if event.get("log_format", "").startswith("seat {seat} attached")
    ]
    assert server.key not in repr(log)


def test_refusals_are_logged_within_a_quota(server: Any, log: list[Any]) -> None:
    """Refusals are logged, ten a minute, and the others are counted."""
    for _ in range(50):
        server.wire().ask(handshake("/api/ws?token=wrong"))
    server.loop.advance(61)
    server.wire().ask(handshake("/api/ws?token=wrong"))

    lines = [event for event in log if event.get("log_format", "").startswith("refused")]
    assert len(lines) == 11
    assert (lines[0]["peer"], lines[0]["reason"]) == ("127.0.0.1:50000", "401 key-wrong")
    assert "40 more" in lines[-1]["more"]


def test_pages_are_not_logged(server: Any, log: list[Any]) -> None:
    """Pages that were served, or are not there, leave no line."""
    log.clear()

    for target in ("/", "/health", "/ready", "/favicon.ico"):
        get(server.wire(), target)

    assert not [event for event in log if event["log_level"] > LogLevel.debug]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        (IPv6Address("TCP", "::1", 4711), "[::1]:4711"),
        (IPv6Address("TCP", "2001:db8:0:0:0:0:0:7", 9), "[2001:db8::7]:9"),
        (IPv6Address("TCP", "odd", 9), "[odd]:9"),
        (UNIXAddress("/run/x"), "unix"),
        (None, "unix"),
    ],
)
def test_peer_names(address: Any, name: str) -> None:
    """Addresses of every kind have a name for the log."""
    assert peer_name(address) == name


# Limits on those who have shown no key.


@pytest.mark.parametrize(
    "piece", [b"X-A: " + b"a" * 8000 + b"\r\n", b"a" * 8000, b"X: y\r\n" * 1000], ids=len
)
def test_header_flood(server: Any, piece: bytes) -> None:
    """A request's head is cut at 16 KiB, whatever it consists of."""
    wire = server.wire()
    wire.feed(b"GET / HTTP/1.1\r\n")

    sent = 0
    while wire.connected and sent < 200_000:
        wire.feed(piece)
        sent += len(piece)

    assert not wire.connected
    assert sent - len(piece) <= 16 * 1024


@pytest.fixture
def no_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails a test in which a body is written to disk."""

    def spool(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a body was spooled to disk")

    monkeypatch.setattr(tempfile, "TemporaryFile", spool)


@pytest.mark.parametrize("target", ["/", "/api/ws"])
@pytest.mark.parametrize("length", [64 * 1024 + 1, 10**6, 10**15])
def test_declared_body(server: Any, no_spool: None, target: str, length: int) -> None:
    """A body that is declared too large is refused before it comes."""
    wire = server.wire()

    response = wire.ask(request("POST", target, [HOST, ("Content-Length", str(length))]))

    assert response.status == 413
    assert response.headers["connection"] == "close"
    assert not wire.connected


def test_declared_body_that_comes(server: Any, no_spool: None) -> None:
    """What comes of it anyway is not kept, nor answered a second time."""
    wire = server.wire()

    wire.feed(request("POST", "/", [HOST, ("Content-Length", "200000")], b"x" * 200_000))

    assert wire.response().status == 413
    assert wire.take() == b""
    assert not wire.connected


def test_chunked_body(server: Any, no_spool: None) -> None:
    """A body of unknown length is refused when it has become too large."""
    wire = server.wire()
    wire.feed(request("POST", "/", [HOST, ("Transfer-Encoding", "chunked")]))
    chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"

    for _ in range(16):
        wire.feed(chunk)
    assert wire.writes == []
    wire.feed(chunk * 2 + b"0\r\n\r\n")

    assert wire.response().status == 413
    assert wire.take() == b""
    assert not wire.connected


def test_body_of_the_limit(server: Any, no_spool: None) -> None:
    """A body of just the limit is read and ignored."""
    body = b"x" * 64 * 1024
    wire = server.wire()

    response = wire.ask(request("POST", "/", [HOST, ("Content-Length", str(len(body)))], body))

    assert response.status == 405
    assert get(wire, "/health").status == 200


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"GET / HT",
        handshake("/api/ws")[:-2],
        request("POST", "/", [HOST, ("Content-Length", "9")]),
    ],
    ids=["nothing", "part of a line", "part of a head", "no body"],
)
def test_silent_client(server: Any, data: bytes) -> None:
    """A client that does not finish its request is dropped after ten seconds."""
    wire = server.wire()
    wire.feed(data)

    server.loop.advance(9.9)
    assert wire.connected

    server.loop.advance(0.2)
    assert not wire.connected
    assert len(server.loop.site.pending) == 0


def test_dripping_client(server: Any) -> None:
    """A byte a second does not buy more time."""
    wire = server.wire()
    data = handshake(f"/api/ws?token={server.key}", [("X-Long", "a" * 1000)])

    for number in range(11):
        wire.feed(data[number : number + 1])
        server.loop.advance(1)

    assert not wire.connected
    assert not server.backend.channels


def test_idle_connection(server: Any) -> None:
    """After a page a connection has its time anew, and no more."""
    wire = server.wire()
    for _ in range(5):
        server.loop.advance(9)
        assert get(wire, "/health").status == 200

    server.loop.advance(10.1)

    assert not wire.connected


def test_pipelining_client_that_does_not_read(server: Any) -> None:
    """Answers that are not read end with the connection, at the deadline."""
    wire = server.wire()
    wire.block()

    wire.feed(request("GET", "/", [HOST]) * 3)
    for _ in range(3):
        server.loop.advance(10.1)

    assert not wire.connected


def test_too_many_pending(start: Start) -> None:
    """When too many sockets have shown no key, the oldest goes, so that the owner gets in."""
    server = start(max_pending=3)
    idle = [server.wire() for _ in range(3)]

    owner = server.wire()
    server.loop.advance(0)
    assert [wire.connected for wire in idle] == [False, True, True]
    assert owner.upgrade(server.key).status == 101

    for _ in range(3):
        server.wire()
        server.loop.advance(0)
    assert [wire.connected for wire in idle] == [False, False, False]
    assert owner.connected
    assert len(server.loop.site.pending) == 3


def test_burst_of_pending(start: Start) -> None:
    """The limit also holds for sockets that are accepted in one turn of the loop."""
    server = start(max_pending=3)

    wires = [server.wire() for _ in range(20)]
    server.loop.advance(0)

    assert [wire.connected for wire in wires] == [False] * 17 + [True] * 3
    assert len(server.loop.site.pending) == 3


@pytest.mark.parametrize(
    ("descriptors", "share"),
    [(64, 16), (1, 1), (resource.RLIM_INFINITY, 100), (4096, 100)],
)
def test_pending_leave_descriptors(
    start: Start, monkeypatch: pytest.MonkeyPatch, descriptors: int, share: int
) -> None:
    """Sockets without a key never take more than a quarter of the descriptors."""
    monkeypatch.setattr(resource, "getrlimit", lambda which: (descriptors, descriptors))
    server = start(max_pending=100)

    for _ in range(110):
        server.wire()
    server.loop.advance(0)

    assert len(server.loop.site.pending) == share


def test_connections_limit(start: Start) -> None:
    """When all seats are taken, a key gets 503 and what to do; a seat that is left is free."""
    server = start(max_connections=2)
    (first, _), _other = server.attach(), server.attach()

    wire = server.wire()
    response = wire.upgrade(server.key)
    assert response.status == 503
    assert response.headers["retry-after"] == "10"
    assert b"--max-connections" in response.body
    assert server.wire().upgrade("wrong").status == 401

    first.hang_up()
    assert wire.upgrade(server.key).status == 101


def test_frames_behind_the_handshake(server: Any) -> None:
    """Frames that come before the answer to the handshake are dropped: no client may send them."""
    wire = server.wire()
    data = handshake(f"/api/ws?token={server.key}")

    wire.feed(data + client_frame(b'{"id":1,"method":"a"}'))

    assert wire.response().status == 101
    assert server.backend.channels[0].requests == []
    wire.send(b'{"id":2,"method":"b"}')
    assert [request.id for request in server.backend.channels[0].requests] == [b"2"]


def test_second_request_behind_the_handshake(server: Any, log: list[Any]) -> None:
    """So is another request: nothing is answered over HTTP any more."""
    wire = server.wire()

    wire.feed(handshake(f"/api/ws?token={server.key}") + request("GET", "/health", [HOST]))

    assert wire.response().status == 101
    assert wire.take() == b""


def test_refused_connection_can_go_on(server: Any) -> None:
    """After a refusal the same connection may come with the right key."""
    wire = server.wire()
    assert wire.upgrade("wrong").status == 401

    assert wire.upgrade(server.key).status == 101


def test_after_the_stop(server: Any) -> None:
    """A connection that outlives the stop finds no way in."""
    wire = server.wire()
    server.stop()

    response = wire.upgrade(server.key)

    assert response.status == 503
    assert response.headers["retry-after"] == "5"
    assert get(wire, "/ready").status == 503
    assert not server.backend.channels


@pytest.mark.parametrize(
    "data",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\n: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"GET " + b"/" * 20_000 + b" HTTP/1.1\r\n\r\n",
        bytes(range(256)) * 100,
        b"\0" * 40_000,
        b"\n" * 40_000,
    ],
    ids=lambda data: repr(data[:24]),
)
def test_hostile_bytes(server: Any, data: bytes) -> None:
    """Bytes that are no request of ours get an error or the end, and leave nothing behind."""
    wire = server.wire()

    wire.feed(data)

    answer = wire.take()
    assert answer[:12] in (b"", *(b"HTTP/1.1 %d" % code for code in (200, 400, 404, 431, 505)))
    server.loop.advance(10.1)
    assert not wire.connected
    assert len(server.loop.site.pending) == 0
    assert get(server.wire(), "/health").status == 200
