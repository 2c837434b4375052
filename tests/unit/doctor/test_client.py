from __future__ import annotations

import errno
import json
import socket
import ssl
import struct
import zlib
from collections.abc import Callable

import pytest

from hermes_twisted.doctor import link
from hermes_twisted.doctor.client import ClientTools, Examination
from hermes_twisted.doctor.findings import Finding, Level, Report
from hermes_twisted.doctor.link import ClientLink, Ended, Pings
from hermes_twisted.doctor.messages import MAX_MESSAGE, BadMessage, Messages
from hermes_twisted.doctor.network import Address, Stream
from hermes_twisted.doctor.target import parse
from hermes_twisted.websocket.frames import CLOSE, PING, PONG, RSV1, TEXT, WebSocketFrame

V4 = Address(socket.AF_INET, ("192.0.2.1", 8643))
V6 = Address(socket.AF_INET6, ("2001:db8::1", 8643))
READY = json.dumps({"method": "event", "params": {"type": "gateway.ready"}}).encode()


def server_frame(
    opcode: int, payload: bytes, *, compressed: bool = False, fin: bool = True
) -> bytes:
    head = fin << 7 | compressed << 6 | opcode
    if len(payload) < 126:
        return bytes((head, len(payload))) + payload
    return bytes((head, 126)) + struct.pack("!H", len(payload)) + payload


class FakeNetwork:
    """Names and connections that fail as told; time that passes only while one waits."""

    def __init__(self, **outcomes: BaseException | Stream) -> None:
        self.time = 0.0
        self.addresses: list[Address] | BaseException = [V4]
        self.outcomes: dict[Address, BaseException | Stream] = {}

    def resolve(self, host: str, port: int) -> list[Address]:
        if isinstance(self.addresses, BaseException):
            raise self.addresses
        return self.addresses

    def connect(self, address: Address, timeout: float) -> Stream:
        outcome = self.outcomes[address]
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def secure(self, stream: Stream, name: str, context: ssl.SSLContext) -> ssl.SSLSocket:
        raise AssertionError("no TLS here")

    def now(self) -> float:
        return self.time


class FakeStream:
    """A peer that answers with what `react` makes of what was sent; silence is a timeout."""

    def __init__(self, network: FakeNetwork, react: Callable[[bytes], list[bytes]]) -> None:
        self._network = network
        self._react = react
        self._waiting: list[bytes] = []
        self._patience = 0.0
        self.closed = False

    def sendall(self, data: bytes) -> None:
        self._waiting += self._react(data)

    def recv(self, size: int) -> bytes:
        if not self._waiting:
            self._network.time += self._patience
            raise TimeoutError("timed out")
        self._network.time += 0.01
        return self._waiting.pop(0)

    def settimeout(self, seconds: float | None) -> None:
        self._patience = seconds or 0.0

    def close(self) -> None:
        self.closed = True


def examine(network: FakeNetwork) -> list[Finding]:
    target, _ = parse("ws://attach.example:8643/api/ws?token=hat_AAAAbbbbCCCCdddd")
    assert target is not None
    report = Report("test", target.secrets)
    tools = ClientTools(network, lambda script: None, {})
    Examination(target, tools, report, timeout=15.0, seconds=1.0).run()
    return list(report)


@pytest.mark.parametrize(
    ("number", "word"),
    [(socket.EAI_NONAME, "No such name"), (socket.EAI_AGAIN, "No name server")],
)
def test_names(number: int, word: str) -> None:
    """An unknown name, and a name server that is silent, are told apart."""
    network = FakeNetwork()
    network.addresses = socket.gaierror(number, "whatever")

    (found,) = examine(network)

    assert (found.level, found.check) == (Level.PROBLEM, "name")
    assert word in found.why


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "refused"), "Connection refused"),
        (TimeoutError("timed out"), "within 15 s"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"), "cannot be reached"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), "cannot be reached"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied"),
    ],
)
def test_tcp(error: OSError, word: str) -> None:
    """Refused, silent, unreachable and forbidden each get their own reason."""
    network = FakeNetwork()
    network.outcomes[V4] = error

    findings = examine(network)

    assert [found.check for found in findings] == ["name", "tcp"]
    assert word in findings[-1].what


def test_every_address_is_tried() -> None:
    """One that does not answer, of two, is a delay; if both fail, both are named."""
    network = FakeNetwork()
    network.addresses = [V6, V4]
    network.outcomes = {V6: TimeoutError(), V4: FakeStream(network, lambda data: [b"SSH-2.0-x"])}

    levels = [(found.check, found.level) for found in examine(network)]
    network.outcomes[V4] = ConnectionRefusedError()
    both = examine(network)

    assert levels[1:3] == [("tcp", Level.OK), ("tcp", Level.WARNING)]
    assert [str(V6) in both[1].what, str(V4) in both[2].what] == [True, True]


@pytest.mark.parametrize(
    ("answer", "word"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "An SSH server answers."),
        (b"\x15\x03\x03\x00\x02\x02\x46", "speaks TLS"),
        (b"220 mail.example ESMTP\r\n", "does not speak HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "does not speak HTTP"),
    ],
)
def test_what_is_not_http(answer: bytes, word: str) -> None:
    """Other protocols are named where they say who they are."""
    network = FakeNetwork()
    network.outcomes[V4] = FakeStream(network, lambda data: [answer])

    assert word in examine(network)[-1].what


def test_a_peer_that_says_nothing() -> None:
    """Silence after the request ends by the time limit, and is named."""
    network = FakeNetwork()
    network.outcomes[V4] = FakeStream(network, lambda data: [])
    network.secure = lambda *_: (_ for _ in ()).throw(ConnectionResetError())  # type: ignore[method-assign]

    assert "not answered within 15 s" in examine(network)[-1].what


def test_the_request_is_the_ui_s() -> None:
    """No Origin, the key in the query, deflate offered; and a name that no server holds."""
    requests: list[bytes] = []

    def react(data: bytes) -> list[bytes]:
        requests.append(data)
        return [b"220 hi\r\n"]

    network = FakeNetwork()
    network.outcomes[V4] = FakeStream(network, react)
    examine(network)

    head = requests[0].decode()
    assert head.startswith("GET /api/ws?token=hat_AAAAbbbbCCCCdddd HTTP/1.1\r\n")
    assert "\r\nHost: attach.example:8643\r\n" in head
    assert "permessage-deflate; client_max_window_bits" in head
    assert "User-Agent: hermes-attach-doctor/" in head
    assert "origin" not in head.lower()


def test_a_wrong_accept() -> None:
    """An upgrade that somebody else's cache answers is no upgrade."""
    answer = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"
    network = FakeNetwork()
    network.outcomes[V4] = FakeStream(network, lambda data: [answer])

    assert examine(network)[-1].check == "websocket"


# The link.


def open_link(
    react: Callable[[bytes], list[bytes]] = lambda data: [],
    began: bytes = b"",
    extensions: str = "",
) -> tuple[ClientLink, FakeNetwork]:
    network = FakeNetwork()
    stream = FakeStream(network, react)
    return ClientLink(network, stream, Messages(extensions), began), network


def test_ready_in_pieces() -> None:
    """`gateway.ready` is seen behind other events, in fragments, with a ping between them."""
    other = server_frame(TEXT, b'{"method":"event","params":{"type":"x"}}')
    pieces = [
        server_frame(TEXT, READY[:9], fin=False),
        server_frame(PING, b"p"),
        server_frame(0, READY[9:]),
    ]
    connection, _network = open_link(began=other + b"".join(pieces))

    assert connection.wait_for("gateway.ready", 15.0)


@pytest.mark.parametrize("fresh", ["", "; server_no_context_takeover"])
def test_ready_compressed(fresh: str) -> None:
    """Where compression was agreed upon, messages are inflated, with or without a context."""
    deflater = zlib.compressobj(wbits=-15)
    data = b""
    for text in (b'{"a":1}', READY):
        if fresh:
            deflater = zlib.compressobj(wbits=-15)
        packed = deflater.compress(text) + deflater.flush(zlib.Z_SYNC_FLUSH)
        data += server_frame(TEXT, packed[:-4], compressed=True)
    connection, _network = open_link(began=data, extensions=f"permessage-deflate{fresh}")

    assert connection.wait_for("gateway.ready", 15.0)


def test_ready_does_not_come() -> None:
    """The wait ends by its limit; what the server says of itself is the reason."""
    connection, network = open_link()

    assert not connection.wait_for("gateway.ready", 15.0)
    assert network.time == 15.0
    assert "starting" in link.not_ready(15.0, "starting").why
    assert "stalled" in link.not_ready(15.0, None).why


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (server_frame(CLOSE, struct.pack("!H", 4401) + b"no\x1b"), "close code 4401, “no”"),
        (server_frame(CLOSE, b""), "without a code"),
        (b"\x81\x80", "masked"),
        (b"\x81\x7f" + struct.pack("!Q", 1 << 40), "a WebSocket frame of"),
        (server_frame(TEXT, b"x", compressed=True), "not agreed upon"),
    ],
)
def test_ends(data: bytes, word: str) -> None:
    """A close, or what no server may send, ends the look, and says so."""
    connection, _network = open_link(began=data)

    with pytest.raises(Ended, match=word):
        connection.wait_for("gateway.ready", 15.0)


def test_an_inflated_message_is_bounded() -> None:
    """A small frame cannot make us hold a large message."""
    deflater = zlib.compressobj(wbits=-15)
    packed = deflater.compress(b"a" * (MAX_MESSAGE + 1)) + deflater.flush(zlib.Z_SYNC_FLUSH)
    messages = Messages("permessage-deflate")

    with pytest.raises(BadMessage, match=f"inflates to more than {MAX_MESSAGE} bytes"):
        messages.take(WebSocketFrame(TEXT, True, packed[:-4], RSV1))


def pong(data: bytes) -> list[bytes]:
    mask, body = data[2:6], data[6:]
    plain = bytes(a ^ b for a, b in zip(body, mask, strict=False))
    return [server_frame(PONG, plain)] if data[0] == 0x80 | PING else []


def test_round_trips() -> None:
    """Each ping's own time is measured; pings are sent at their pace."""
    connection, network = open_link(pong)

    pings = connection.measure(5, 0.2, 5.0)

    assert pings.sent == 5
    assert pings.times == pytest.approx([0.01] * 5)
    assert network.time == pytest.approx(4 * 0.2 + 0.01)


def test_lost_pings() -> None:
    """A ping that is never answered is lost, once the last one's patience is over."""
    answered: list[bytes] = []

    def every_other(data: bytes) -> list[bytes]:
        answered.append(data)
        return pong(data) if len(answered) % 2 else []

    connection, network = open_link(every_other)

    pings = connection.measure(4, 0.2, 5.0)

    assert pings.lost == 2
    assert network.time == pytest.approx(3 * 0.2 + 5.0)


@pytest.mark.parametrize(
    ("pings", "level"),
    [
        (Pings(3, (0.01, 0.02, 0.03)), Level.OK),
        (Pings(3, (0.3, 0.3, 0.3)), Level.WARNING),
        (Pings(3, (0.01, 0.01, 1.5)), Level.WARNING),
        (Pings(3, (0.01, 0.01)), Level.WARNING),
        (Pings(3, ()), Level.WARNING),
    ],
)
def test_judgement(pings: Pings, level: Level) -> None:
    """Slow in the middle, slow once, or with losses: worth a word."""
    assert link.judge(pings).level is level


def test_the_median() -> None:
    """p50 is the middle one, and is shown with the worst and the losses."""
    found = link.judge(Pings(4, (0.001, 0.05, 0.002)))

    assert "p50 2 ms, max 50 ms, 1 of 4 pings lost" in found.what
