from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort
from zope.interface import implementer

from hermes_twisted.listen.endpoints import (
    Listener,
    TLSChoice,
    choose_tls,
    is_local,
    parse_listener,
    port_number,
    with_tls,
)
from hermes_twisted.shared.problem import Problem


@pytest.mark.parametrize(
    ("text", "kind", "encrypted"),
    [
        ("tcp:8643", "tcp", False),
        ("tcp:8643:interface=127.0.0.1", "tcp", False),
        ("TCP:8643", "tcp", False),
        ("tcp6:8643", "tcp6", False),
        ("unix:/run/a.sock:mode=600", "unix", False),
        ("systemd:domain=INET:name=a", "systemd", False),
        ("haproxy:tcp:8643", "haproxy", False),
        ("ssl:8643:privateKey=k.pem", "ssl", True),
        ("SSL:8643", "ssl", True),
        ("tls:/etc/certs:tcp:8643", "tls", True),
        ("onion:80", "onion", True),
        ("ssltunnel:1", "ssltunnel", False),
        ("haproxy:ssl:8643:privateKey=k.pem", "haproxy", True),
    ],
)
def test_kinds(text: str, kind: str, encrypted: bool) -> None:
    """A listener's kind is its first word, and only kinds known to encrypt count as such."""
    listener = parse_listener(text)

    assert (listener.description, listener.kind, listener.encrypted) == (text, kind, encrypted)


@pytest.mark.parametrize(
    "text",
    ["", "8643", "tcp", "tcp:", ":8643", "/run/a.sock", "127.0.0.1:8643", "a b:1", "\ntcp:1"],
)
def test_not_an_endpoint(text: str) -> None:
    """What cannot be an endpoint is refused with an example of one."""
    with pytest.raises(Problem) as refused:
        parse_listener(text)

    assert refused.value.what == f"--listen {text}: that is not an endpoint."
    assert refused.value.advice.startswith("Write one such as tcp:8643:interface=127.0.0.1")


@pytest.mark.parametrize(
    ("address", "local"),
    [
        (IPv4Address("TCP", "127.0.0.1", 1), True),
        (IPv4Address("TCP", "127.8.9.10", 1), True),
        (IPv6Address("TCP", "::1", 1), True),
        (UNIXAddress("/run/a.sock"), True),
        (IPv4Address("TCP", "0.0.0.0", 1), False),
        (IPv6Address("TCP", "::", 1), False),
        (IPv4Address("TCP", "192.168.1.2", 1), False),
        (IPv4Address("TCP", "10.0.0.1", 1), False),
        (IPv6Address("TCP", "fe80::1", 1), False),
        (IPv4Address("TCP", "", 1), False),
        (IPv4Address("TCP", "localhost", 1), False),
        (IPv4Address("TCP", "127.0.0.1.evil.example", 1), False),
        (IPv6Address("TCP", "::ffff:127.0.0.1", 1), True),
        (IPv6Address("TCP", "::ffff:0.0.0.0", 1), False),
        (IPv6Address("TCP", "::ffff:192.0.2.1", 1), False),
        (IPv6Address("TCP", "fe80::1%eth0", 1), False),
    ],
)
def test_local(address: IAddress, local: bool) -> None:
    """Only loopback and Unix sockets are local; what is not known to be is not."""
    assert is_local(address) is local


@implementer(IListeningPort)
class FakePort:
    """A port that listens at *address*."""

    def __init__(self, address: IAddress) -> None:
        self._address = address

    def getHost(self) -> IAddress:  # noqa: N802
        return self._address

    def startListening(self) -> None:  # noqa: N802
        raise NotImplementedError

    def stopListening(self) -> None:  # noqa: N802
        raise NotImplementedError


def test_port_number() -> None:
    """A TCP port has a number, a Unix socket has none."""
    assert port_number(FakePort(IPv6Address("TCP", "::1", 4711))) == 4711
    assert port_number(FakePort(UNIXAddress("/run/a.sock"))) is None


def test_listeners_are_values() -> None:
    """Equal descriptions are equal listeners."""
    assert parse_listener("tcp:1") == Listener("tcp:1")


@pytest.mark.parametrize(
    ("text", "description"),
    [
        ("unix:/run/a.sock", "unix:/run/a.sock:mode=600"),
        ("UNIX:/run/a.sock", "UNIX:/run/a.sock:mode=600"),
        ("unix:address=/run/a.sock", "unix:address=/run/a.sock:mode=600"),
        ("unix:/run/a.sock:backlog=9", "unix:/run/a.sock:backlog=9:mode=600"),
        (r"unix:/run/a\:b.sock", r"unix:/run/a\:b.sock:mode=600"),
        ("haproxy:unix:/run/a.sock", "haproxy:unix:/run/a.sock:mode=600"),
        ("unix:/run/a.sock:mode=660", "unix:/run/a.sock:mode=660"),
        ("unix:/run/a.sock:660", "unix:/run/a.sock:660"),
        ("unix:address=/run/a.sock:660", "unix:address=/run/a.sock:660"),
        ("tcp:1", "tcp:1"),
        ("systemd:domain=UNIX:index=0", "systemd:domain=UNIX:index=0"),
    ],
)
def test_unix_socket_is_private(text: str, description: str) -> None:
    """Nobody else may connect unless the operator says so; Twisted would let everybody."""
    assert parse_listener(text).description == description


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("tcp:8643", True),
        ("TCP6:8643", True),
        ("haproxy:tcp:8643", True),
        ("haproxy:haproxy:tcp6:8643", True),
        ("systemd:domain=INET:index=0", True),
        ("systemd:domain=INET6:name=a", True),
        ("systemd:INET:0", True),
        ("haproxy:systemd:domain=INET:index=0", True),
        ("systemd:domain=UNIX:index=0", False),
        ("systemd:", False),
        ("unix:/tcp", False),
        ("haproxy:unix:/a", False),
        ("ssl:8643", False),
        ("haproxy:ssl:8643", False),
        ("onion:80", False),
    ],
)
def test_plain_streams(text: str, plain: bool) -> None:
    """The options for TLS are for TCP ports that do not encrypt by themselves."""
    assert Listener(text).plain_stream is plain


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("unix:/run/a.sock:mode=600", Path("/run/a.sock")),
        ("haproxy:unix:/run/a.sock", Path("/run/a.sock")),
        ("unix:mode=600:address=/run/a.sock", Path("/run/a.sock")),
        (r"unix:/run/a\:b\\c", Path("/run/a:b\\c")),
        ("tcp:1", None),
        ("systemd:domain=UNIX:index=0", None),
    ],
)
def test_socket_path(text: str, path: Path | None) -> None:
    """Where a Unix socket is made, without Twisted's quotes."""
    assert Listener(text).socket_path == path


def test_tls_where_it_applies() -> None:
    """On ports in the clear, and nowhere else; there, what is said is encrypted."""
    listeners = [Listener("tcp:1"), Listener("unix:/a"), Listener("ssl:2")]

    dressed = with_tls(listeners)

    assert dressed == (Listener("tcp:1", tls=True), Listener("unix:/a"), Listener("ssl:2"))
    assert [listener.encrypted for listener in dressed] == [True, False, True]


def test_tls_where_it_applies_to_nothing() -> None:
    """Who asks for TLS and gets none has to know."""
    with pytest.raises(Problem, match="--listen names none of them"):
        with_tls([Listener("unix:/a")])


CERTIFICATE, KEY, CLIENTS = Path("/a.crt"), Path("/a.key"), Path("/clients.pem")


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ((None, None, None, (), None), None),
        (("self", None, None, (), None), TLSChoice()),
        (("self", None, None, ["a"], CLIENTS), TLSChoice(names=("a",), client_ca=CLIENTS)),
        ((None, CERTIFICATE, None, (), None), TLSChoice(CERTIFICATE)),
        ((None, CERTIFICATE, KEY, (), CLIENTS), TLSChoice(CERTIFICATE, KEY, (), CLIENTS)),
    ],
)
def test_choice_of_tls(given: Any, choice: TLSChoice | None) -> None:
    """A certificate of ours or of the operator's, or no TLS."""
    assert choose_tls(*given) == choice


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        (("self", CERTIFICATE, None, (), None), "--tls self and --tls-cert contradict"),
        (("self", None, KEY, (), None), "--tls-key needs --tls-cert"),
        ((None, None, KEY, (), None), "--tls-key needs --tls-cert"),
        ((None, None, None, ["a"], None), "--tls-name is for --tls self"),
        ((None, CERTIFICATE, None, ["a"], None), "--tls-name is for --tls self"),
        ((None, None, None, (), CLIENTS), "--tls-client-ca needs TLS"),
    ],
)
def test_contradictions(given: Any, complaint: str) -> None:
    """Nothing that was asked for is left out in silence."""
    with pytest.raises(Problem, match=complaint):
        choose_tls(*given)
