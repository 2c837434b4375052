from __future__ import annotations

import pytest

from hermes_twisted.listen.peers import MAX_HOPS, TrustedProxies

ONE = TrustedProxies.parse(["127.0.0.1"])


@pytest.mark.parametrize(
    ("peer", "headers", "client"),
    [
        ("127.0.0.1", [b"192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"2001:db8::7"], "2001:db8::7"),
        # What the client wrote itself stands left of what the proxy added.
        ("127.0.0.1", [b"127.0.0.1, 10.0.0.1, 192.0.2.7"], "192.0.2.7"),
        ("127.0.0.1", [b"10.0.0.1", b"192.0.2.7"], "192.0.2.7"),
        # Nobody trusted stands there: the farthest that is known.
        ("127.0.0.1", [b"127.0.0.1"], "127.0.0.1"),
        # With ports, in IPv6 clothes, with blanks.
        ("127.0.0.1", [b"192.0.2.7:4711"], "192.0.2.7"),
        ("127.0.0.1", [b" [2001:db8::7]:4711 "], "2001:db8::7"),
        ("::ffff:127.0.0.1", [b"::ffff:192.0.2.7"], "192.0.2.7"),
        # Nothing, or nonsense: the peer speaks for itself.
        ("127.0.0.1", [], None),
        ("127.0.0.1", [b""], None),
        ("127.0.0.1", [b"unknown"], None),
        ("127.0.0.1", [b"192.0.2.7, _hidden"], None),
        ("127.0.0.1", [b"\xff\xfe"], None),
        # A peer that is not trusted is not heard.
        ("127.0.0.2", [b"192.0.2.7"], None),
        (None, [b"192.0.2.7"], None),
        ("not an address", [b"192.0.2.7"], None),
    ],
)
def test_one_proxy(peer: str | None, headers: list[bytes], client: str | None) -> None:
    """Only what the trusted proxy itself wrote counts: the rightmost."""
    assert ONE.client_of(peer, headers) == client


def test_a_chain() -> None:
    """Trusted proxies behind each other are passed; the first other address is the client."""
    proxies = TrustedProxies.parse(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"])
    header = b"198.51.100.1, 192.0.2.7, 10.1.1.1, 2001:db8::2"

    assert proxies.client_of("127.0.0.1", [header]) == "192.0.2.7"
    assert proxies.client_of("127.0.0.1", [b"junk, 10.1.1.1"]) == "10.1.1.1"


def test_unix_sockets() -> None:
    """A proxy on a Unix socket is trusted by that name alone."""
    proxies = TrustedProxies.parse(["unix"])

    assert proxies.client_of(None, [b"192.0.2.7"]) == "192.0.2.7"
    assert proxies.client_of("127.0.0.1", [b"192.0.2.7"]) is None


def test_nobody_is_trusted_by_default() -> None:
    """Without the option the header means nothing."""
    assert TrustedProxies().client_of("127.0.0.1", [b"192.0.2.7"]) is None
    assert TrustedProxies().client_of(None, [b"192.0.2.7"]) is None


def test_hops_are_bounded() -> None:
    """A header of thousands of hops costs a few."""
    proxies = TrustedProxies.parse(["0.0.0.0/0"])
    header = b", ".join(b"10.0.%d.%d" % (n // 250, n % 250) for n in range(1000))

    client = proxies.client_of("127.0.0.1", [header])

    first = 1000 - MAX_HOPS
    assert client == f"10.0.{first // 250}.{first % 250}"


@pytest.mark.parametrize("text", ["", "localhost", "10.0.0.1/8", "10.0.0.0/99", "10.0.0"])
def test_what_is_no_proxy(text: str) -> None:
    """A name, or a network with host bits, is refused rather than guessed."""
    with pytest.raises(ValueError, match=r"."):
        TrustedProxies.parse([text])
