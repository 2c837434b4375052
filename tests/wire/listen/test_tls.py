"""TLS in memory: Python's own `ssl` is the client, and speaks to the listeners' factories."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IProtocolFactory, IProtocolNegotiationFactory

from hermes_twisted.http.site import LOGGED_TLS_FAILURES
from hermes_twisted.listen.tls import TLS, FileCredentials
from hermes_twisted.shared.problem import Problem
from hermes_twisted.testing.wire import MemoryWire, client_frame, handshake, read_frames, request
from tests.certs import Issued, issue

#: Starts servers; `tests/wire/conftest.py` has these.
Start = Callable[..., Any]
LogEvent = dict[str, Any]

HEALTH = request("GET", "/health", [("Host", "localhost")])
PROXY = b"PROXY TCP4 198.51.100.7 10.0.0.1 4711 443\r\n"


@pytest.fixture
def authority() -> Issued:
    return issue("authority", ca=True)


@pytest.fixture
def pair(authority: Issued, tmp_path: Path) -> tuple[Path, Path]:
    """The server's files."""
    return issue(by=authority).write(tmp_path)


@pytest.fixture
def clients(tmp_path: Path) -> Issued:
    """An authority for clients."""
    made = issue("clients", ca=True)
    (tmp_path / "clients.pem").write_bytes(made.pem)
    return made


@pytest.fixture
def serve(start: Start, clock: Any, pair: tuple[Path, Path]) -> Start:
    """Starts a server with TLS on its port."""

    def serve(
        endpoint: str = "tcp:8643:interface=127.0.0.1",
        client_ca: Path | None = None,
        **limits: Any,
    ) -> Any:
        tls = TLS(clock, FileCredentials(*pair), client_ca)
        return start({"listen": (endpoint,), "tls": "self"}, tls, **limits)

    return serve


class Client:
    """TLS over a `MemoryWire`, with what comes decrypted in `received`."""

    def __init__(self, wire: MemoryWire, authority: Issued, before: bytes = b"") -> None:
        self.wire = wire
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self.context.load_verify_locations(cadata=authority.pem.decode())
        self.received = b""
        self._before = before
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()

    def connect(self, name: str = "localhost") -> Client:
        """Shake hands. Raises `ssl.SSLError`."""
        self.tls = self.context.wrap_bio(self._in, self._out, server_hostname=name)
        for _ in range(8):
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                self._pump()
            else:
                break
            finally:
                self._flush()
        self._pump()
        return self

    def ask(self, data: bytes) -> bytes:
        """Send, and return what came after it."""
        self.tls.write(data)
        self._pump()
        came, self.received = self.received, b""
        return came

    def _flush(self) -> None:
        if data := self._before + self._out.read():
            self._before = b""
            self.wire.feed(data)

    def _pump(self) -> None:
        self._flush()
        self._in.write(self.wire.take())
        with suppress(ssl.SSLWantReadError):
            while data := self.tls.read(1 << 16):
                self.received += data


def said(log: list[LogEvent], what: str) -> list[str]:
    """The log's lines that hold this text."""
    lines = [event["log_format"].format(**event) for event in log if event.get("log_format")]
    return [line for line in lines if what in line]


def test_pages(serve: Start, authority: Issued) -> None:
    client = Client(serve().wire(), authority).connect()

    assert client.ask(HEALTH).startswith(b"HTTP/1.1 200")


def attach(server: Any, client: Client) -> Any:
    """Open a WebSocket; the backend's end of the seat."""
    client.connect()
    answer = client.ask(handshake(f"/api/ws?token={server.key}"))
    assert answer.startswith(b"HTTP/1.1 101")
    return server.backend.channels[-1]


def test_websocket(serve: Start, authority: Issued) -> None:
    """Frames go both ways."""
    server = serve()
    client = Client(server.wire(), authority)
    channel = attach(server, client)

    text = b'{"jsonrpc":"2.0","id":1,"method":"echo"}'
    client.ask(client_frame(text))
    channel.say(b'{"n":1}')
    server.loop.advance(0)

    assert len(channel.requests) == 1
    client._pump()
    assert [frame.payload for frame in read_frames(client.received)][-1] == b'{"n":1}'


def test_slow_reader(serve: Start, authority: Issued) -> None:
    """What a client does not read waits in the outbox, with its limits, not in OpenSSL."""
    server = serve()
    client = Client(server.wire(), authority)
    channel = attach(server, client)
    client.wire.block()
    channel.say(b'"' + b"x" * 100_000 + b'"')
    server.loop.advance(0)
    held = sum(map(len, client.wire.writes))

    for _ in range(20):
        channel.say(b'"' + b"x" * 100_000 + b'"')
        server.loop.advance(0)

    assert sum(map(len, client.wire.writes)) == held
    client.wire.unblock()
    for _ in range(30):
        server.loop.advance(0)
    client._pump()
    assert len(client.received) > 2_000_000


def test_reload_keeps_connections(
    serve: Start, authority: Issued, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    """Those that are open go on, new ones are shown the new certificate."""
    server = serve()
    old = Client(server.wire(), authority)
    channel = attach(server, old)
    first = old.tls.getpeercert(binary_form=True)
    issue(by=authority).write(tmp_path)

    server.service.reload()

    new = Client(server.wire(), authority).connect()
    assert new.tls.getpeercert(binary_form=True) != first
    channel.say(b'"still here"')
    server.loop.advance(0)
    old._pump()
    assert b'"still here"' in old.received


def test_bad_reload_keeps_the_certificate(
    serve: Start, authority: Issued, pair: tuple[Path, Path], log: list[LogEvent]
) -> None:
    server = serve()
    pair[0].write_bytes(b"rubbish")

    server.service.reload()

    assert Client(server.wire(), authority).connect().ask(HEALTH).startswith(b"HTTP/1.1 200")
    assert len(said(log, "the current one stays in use")) == 1


def test_reload_without_tls(start: Start, log: list[LogEvent]) -> None:
    """There is nothing to do, and nothing goes wrong."""
    start().service.reload()

    assert said(log, "reloading")


def test_only_http_1_is_spoken(
    serve: Start, authority: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With `h2` installed twisted.web would offer that, and an upgrade over it would fail."""
    monkeypatch.setattr("twisted.web.http.H2_ENABLED", True)
    client = Client(serve().wire(), authority)
    client.context.set_alpn_protocols(["h2", "http/1.1"])

    assert client.connect().ask(HEALTH).startswith(b"HTTP/1.1 200")
    assert client.tls.selected_alpn_protocol() is None


def test_site_offers_nothing(server: Any) -> None:
    """The same for `ssl:`, where Twisted asks the factory."""
    assert not IProtocolNegotiationFactory.providedBy(server.loop.site)
    assert IProtocolFactory.providedBy(server.loop.site)


# What is offered.

MODERN = [
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
]


@pytest.mark.parametrize("cipher", MODERN)
def test_modern_ciphers(serve: Start, authority: Issued, cipher: str) -> None:
    client = Client(serve().wire(), authority)
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.context.set_ciphers(cipher)

    assert client.connect().ask(HEALTH).startswith(b"HTTP/1.1 200")
    assert client.tls.cipher()[:2] == (cipher, "TLSv1.2")  # type: ignore[index]


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256"]
)
def test_old_ciphers(serve: Start, authority: Issued, cipher: str, log: list[LogEvent]) -> None:
    """Without forward secrecy or authenticated encryption there is no connection."""
    client = Client(serve().wire(), authority)
    client.context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.context.set_ciphers(cipher)

    with pytest.raises(ssl.SSLError):
        client.connect()

    assert not client.wire.connected
    assert said(log, "a client is too old")


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_old_version(serve: Start, authority: Issued, log: list[LogEvent]) -> None:
    client = Client(serve().wire(), authority)
    client.context.minimum_version = ssl.TLSVersion.TLSv1_1
    client.context.maximum_version = ssl.TLSVersion.TLSv1_1
    client.context.set_ciphers("ALL:@SECLEVEL=0")

    with pytest.raises(ssl.SSLError):
        client.connect()

    assert not client.wire.connected
    assert said(log, "a client is too old")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_nothing_is_resumed(serve: Start, authority: Issued, version: ssl.TLSVersion) -> None:
    """Each connection proves anew who it is; what was revoked meanwhile does not slip in."""
    server = serve()
    first = Client(server.wire(), authority)
    first.context.minimum_version = first.context.maximum_version = version
    first.connect().ask(HEALTH)

    second = Client(server.wire(), authority)
    second.context = first.context
    second.tls = first.context.wrap_bio(
        second._in, second._out, server_hostname="localhost", session=first.tls.session
    )
    for _ in range(4):
        with suppress(ssl.SSLWantReadError):
            second.tls.do_handshake()
        second._pump()

    assert second.ask(HEALTH).startswith(b"HTTP/1.1 200")
    assert second.tls.session_reused is False


# Client certificates.


def test_client_with_a_certificate(
    serve: Start, authority: Issued, clients: Issued, tmp_path: Path
) -> None:
    client = Client(serve(client_ca=tmp_path / "clients.pem").wire(), authority)
    client.context.load_cert_chain(*issue("laptop", by=clients).write(tmp_path / "client"))

    assert client.connect().ask(HEALTH).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_without_a_certificate(
    serve: Start,
    authority: Issued,
    clients: Issued,
    tmp_path: Path,
    version: ssl.TLSVersion,
    log: list[LogEvent],
) -> None:
    """It does not get as far as HTTP."""
    client = Client(serve(client_ca=tmp_path / "clients.pem").wire(), authority)
    client.context.minimum_version = client.context.maximum_version = version

    with pytest.raises(ssl.SSLError):
        client.connect().ask(HEALTH)

    assert not client.wire.connected
    assert not client.received
    assert said(log, "a client showed no certificate")


def test_client_with_a_certificate_of_somebody_else(
    serve: Start, authority: Issued, clients: Issued, tmp_path: Path, log: list[LogEvent]
) -> None:
    """Not even one from the authority of the server's own certificate."""
    client = Client(serve(client_ca=tmp_path / "clients.pem").wire(), authority)
    client.context.load_cert_chain(*issue("laptop", by=authority).write(tmp_path / "client"))

    with pytest.raises(ssl.SSLError):
        client.connect().ask(HEALTH)

    assert not client.wire.connected
    assert said(log, "--tls-client-ca")


def test_clients_authority_is_reloaded(
    serve: Start, authority: Issued, clients: Issued, tmp_path: Path
) -> None:
    server = serve(client_ca=tmp_path / "clients.pem")
    (tmp_path / "clients.pem").write_bytes(issue("others", ca=True).pem)
    server.service.reload()
    client = Client(server.wire(), authority)
    client.context.load_cert_chain(*issue("laptop", by=clients).write(tmp_path / "client"))

    with pytest.raises(ssl.SSLError):
        client.connect().ask(HEALTH)


# Misunderstandings.


def test_plain_http_to_the_tls_port(serve: Start, log: list[LogEvent]) -> None:
    """It ends at once, gets no page, and the log says what happened."""
    wire = serve().wire()

    wire.feed(HEALTH)

    assert not wire.connected
    assert b"HTTP" not in wire.take()
    assert said(log, "a client spoke plain HTTP to the TLS port (127.0.0.1:50000)")


def test_rubbish_to_the_tls_port(serve: Start, log: list[LogEvent]) -> None:
    wire = serve().wire()

    wire.feed(b"\x00" * 64)

    assert not wire.connected
    assert said(log, "TLS")


def test_misunderstandings_are_logged_within_a_quota(
    serve: Start, clock: Any, log: list[LogEvent]
) -> None:
    server = serve()
    for _ in range(LOGGED_TLS_FAILURES + 5):
        server.wire().feed(HEALTH)
    assert len(said(log, "plain HTTP")) == LOGGED_TLS_FAILURES

    clock.advance(61)
    server.wire().feed(HEALTH)

    assert len(said(log, "(5 more were not logged)")) == 1


def test_tls_to_the_plain_port(server: Any, authority: Issued, log: list[LogEvent]) -> None:
    """It ends at once, instead of waiting for the end of a line."""
    client = Client(server.wire(), authority)

    with pytest.raises(ssl.SSLError):
        client.connect().ask(HEALTH)

    assert not client.wire.connected
    assert not client.wire.aborted
    assert said(log, "a client spoke TLS to the plain port (127.0.0.1:50000)")


def test_such_a_byte_later_on_is_http(server: Any) -> None:
    """Only the first byte of a connection tells."""
    wire = server.wire()
    assert wire.ask(request("GET", "/health", [("Host", "127.0.0.1:8643")])).status == 200

    wire.feed(b"\x16\x03\x01\r\n\r\n")

    assert wire.take().startswith(b"HTTP/1.1 400")


def test_client_that_does_not_trust_the_certificate(serve: Start, log: list[LogEvent]) -> None:
    """The operator reads what the user's screen does not show."""
    client = Client(serve().wire(), issue("somebody", ca=True))

    with pytest.raises(ssl.SSLCertVerificationError):
        client.connect()
    client._flush()

    assert said(log, "NODE_EXTRA_CA_CERTS")


def say_hello(client: Client) -> None:
    """The first flight of the handshake, and no more."""
    client.tls = client.context.wrap_bio(client._in, client._out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    client._flush()


def test_plain_client_that_leaves(server: Any, log: list[LogEvent]) -> None:
    """At a plain port there was no certificate."""
    server.wire().hang_up()

    assert not said(log, "certificate")


def test_client_that_leaves_after_the_handshake(
    serve: Start, authority: Issued, log: list[LogEvent]
) -> None:
    """Node looks at the certificate and goes without a word."""
    server = serve()
    client = Client(server.wire(), authority).connect()
    client.wire.hang_up()
    assert len(said(log, "NODE_EXTRA_CA_CERTS")) == 1
    log.clear()
    client = Client(server.wire(), authority)
    say_hello(client)
    client.wire.hang_up()
    assert len(said(log, "NODE_EXTRA_CA_CERTS")) == 1

    log.clear()
    server.wire().hang_up()  # A probe that says nothing.

    # Not those who have asked for something, nor those who are dropped for saying nothing.
    client = Client(server.wire(), authority).connect()
    client.ask(HEALTH)
    client.wire.hang_up()
    silent = Client(server.wire(), authority).connect()
    server.loop.advance(11)
    assert not silent.wire.connected
    assert not said(log, "NODE_EXTRA_CA_CERTS")


def test_silence_before_the_handshake(serve: Start, clock: Any) -> None:
    """The limits hold from the first moment: time."""
    wire = serve(handshake_timeout=10.0).wire()
    clock.advance(10)

    assert not wire.connected


def test_silence_within_the_handshake(serve: Start, clock: Any, authority: Issued) -> None:
    """A hello, drop by drop, does not lengthen it."""
    client = Client(serve(handshake_timeout=10.0).wire(), authority)
    client.tls = client.context.wrap_bio(client._in, client._out, server_hostname="localhost")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.do_handshake()
    for byte in client._out.read()[:9]:
        client.wire.feed(bytes([byte]))
        clock.advance(1)
    assert client.wire.connected

    clock.advance(1)

    assert not client.wire.connected


def test_too_many_handshakes(serve: Start) -> None:
    """The oldest goes, as without TLS."""
    server = serve(max_pending=2)
    wires = [server.wire() for _ in range(3)]
    server.loop.advance(0)

    assert [wire.connected for wire in wires] == [False, True, True]


# Behind a proxy.


def test_proxy_header_is_outside_of_tls(
    serve: Start, authority: Issued, log: list[LogEvent]
) -> None:
    """HAProxy passes TLS through and says in the clear, before it, who speaks."""
    server = serve("haproxy:tcp:8643:interface=127.0.0.1")
    client = Client(server.wire(), authority, before=PROXY)

    attach(server, client)

    assert said(log, "attached from 198.51.100.7:4711")


def test_proxy_header_is_needed(serve: Start, authority: Issued) -> None:
    server = serve("haproxy:tcp:8643:interface=127.0.0.1")
    client = Client(server.wire(), authority)

    with pytest.raises(ssl.SSLError):
        client.connect().ask(HEALTH)

    assert not client.wire.connected


@pytest.mark.parametrize(
    "sent",
    [
        b"PROXY TCP4 198.51.100.7 10.0.0.1 x 443\r\n",
        b"PROXY TCP4 \xff 10.0.0.1 4711 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x13\x00\x00",
        b"GET / HTTP/1.1\r\n",
    ],
)
def test_bad_proxy_header(start: Start, sent: bytes) -> None:
    """It ends the connection, in silence: no traceback for whoever finds the port."""
    wire = start({"listen": ("haproxy:tcp:8643:interface=127.0.0.1",)}).wire()

    wire.feed(sent)

    assert not wire.connected
    assert wire.take() == b""


def test_proxy_header_in_pieces(start: Start, log: list[LogEvent]) -> None:
    """A connection may be cut anywhere."""
    server = start({"listen": ("haproxy:tcp:8643:interface=127.0.0.1",)})
    wire = server.wire()
    wire.feed(*(bytes([byte]) for byte in PROXY))
    wire.feed(handshake(f"/api/ws?token={server.key}"))

    assert wire.take().startswith(b"HTTP/1.1 101")
    assert said(log, "attached from 198.51.100.7:4711")


def test_client_behind_a_proxy_in_the_clear(start: Start, log: list[LogEvent]) -> None:
    """Its address reaches the log, whatever carries it."""
    server = start({"listen": ("haproxy:tcp:8643:interface=127.0.0.1",)})
    wire = server.wire()
    wire.feed(PROXY + handshake(f"/api/ws?token={server.key}"))

    assert wire.take().startswith(b"HTTP/1.1 101")
    assert said(log, "attached from 198.51.100.7:4711")


def test_refused_client_behind_a_proxy(start: Start, log: list[LogEvent]) -> None:
    server = start({"listen": ("haproxy:tcp:8643:interface=127.0.0.1",)})
    wire = server.wire(peer=IPv4Address("TCP", "127.0.0.1", 1))
    wire.feed(PROXY + handshake("/api/ws?token=wrong"))

    assert wire.take().startswith(b"HTTP/1.1 401")
    assert said(log, "refused 198.51.100.7:4711: 401")


# What starts.


def test_tls_counts_as_encrypted(serve: Start, authority: Issued) -> None:
    """Beyond loopback it needs no --allow-plaintext."""
    server = serve("tcp:8643:interface=0.0.0.0")

    assert Client(server.wire(), authority).connect().ask(HEALTH).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "endpoint",
    [
        "tcp:8643",
        "tcp:8643:interface=0.0.0.0",
        r"tcp:8643:interface=\:\:",
        r"tcp6:8643:interface=\:\:",
        r"tcp6:8643:interface=\:\:ffff\:0.0.0.0",
        "tcp:8643:interface=192.0.2.1",
        "haproxy:tcp:8643",
    ],
)
def test_plain_beyond_loopback(start: Start, endpoint: str) -> None:
    with pytest.raises(Problem, match=r"in the clear.*--tls self.*--allow-plaintext"):
        start({"listen": (endpoint,)})


def test_bad_certificate_ends_the_start(serve: Start, pair: tuple[Path, Path]) -> None:
    pair[1].unlink()

    with pytest.raises(Problem, match="cannot be read"):
        serve()
