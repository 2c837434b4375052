from __future__ import annotations

import pytest
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort
from zope.interface import implementer

from hermes_twisted.listeners import Listener, is_local, parse_listener, port_number


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
    with pytest.raises(ValueError, match="write for example tcp:8643"):
        parse_listener(text)


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
