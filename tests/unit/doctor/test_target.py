from __future__ import annotations

import pytest

from hermes_twisted.doctor.findings import Level
from hermes_twisted.doctor.target import Target, parse

KEY = "hat_AAAAbbbbCCCCddddEEEE"


def parsed(text: str, key: str | None = None) -> Target:
    target, _findings = parse(text, key)
    assert target is not None
    return target


@pytest.mark.parametrize(
    ("text", "address", "port"),
    [
        ("ws://127.0.0.1:8643/api/ws?token=x", "ws://127.0.0.1:8643/api/ws", 8643),
        ("wss://attach.example/api/ws?token=x", "wss://attach.example/api/ws", 443),
        ("WS://Attach.Example:80/api/ws?token=x", "ws://attach.example/api/ws", 80),
        ("ws://[::1]:8643/a/api/ws?token=x", "ws://[::1]:8643/a/api/ws", 8643),
        ("ws://büro.example/api/ws?token=x", "ws://xn--bro-hoa.example/api/ws", 80),
    ],
)
def test_addresses(text: str, address: str, port: int) -> None:
    """What the UI accepts is taken apart as the UI does."""
    target, findings = parse(text)

    assert target is not None
    assert (target.address, target.port) == (address, port)
    assert [found.level for found in findings] == [Level.OK]


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("'ws://h:1/api/ws'", "quotes"),
        ("ws://h:1/api/ws\u201d", "quotes"),
        ("ws://h:1/api/ws?token=a b", "blanks"),
        ("http://h:1/api/ws", "Write ws://"),
        ("https://h:1/api/ws", "Write wss://"),
        ("h:8643/api/ws", "ws:// or wss://"),
        ("ws:///api/ws", "host"),
        ("ws://-h/api/ws", "host"),
        ("ws://h:99999/api/ws", "port"),
        ("ws://h:0/api/ws", "Port 0"),
        ("ws://[::1/api/ws", "port"),
        ("ws://h:1/api/ws?token=a#b", "#"),
    ],
)
def test_what_cannot_be_used(text: str, word: str) -> None:
    """The fault is named, with what to write instead, and nothing is tried."""
    target, (found,) = parse(text)

    assert target is None
    assert found.level is Level.PROBLEM
    assert word in found.what + found.next
    assert "ws://HOST:PORT/api/ws?token=KEY" in found.next


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ws://h:1/?token=x", "The path is /"),
        ("ws://h:1/api/ws", "no key"),
        ("ws://h:1/api/ws?token=", "no key"),
        ("ws://h:1/api/ws?token=KEY", "placeholder"),
        ("ws://me@h:1/api/ws?token=x", "user name"),
    ],
)
def test_what_looks_wrong(text: str, word: str) -> None:
    """What is likely to fail is said, and tried all the same."""
    target, findings = parse(text)

    assert target is not None
    assert [found.level for found in findings] == [Level.WARNING]
    assert word in findings[0].what


def test_a_key_from_elsewhere() -> None:
    """A key that was given otherwise is used where the address has none, and only there."""
    assert parsed("ws://h/api/ws?gw=a", "s/x").request_target == "/api/ws?token=s%2Fx&gw=a"
    assert parsed("ws://h/api/ws?token=mine", KEY).request_target == "/api/ws?token=mine"
    assert parsed("ws://h/api/ws?ticket=mine", KEY).request_target == "/api/ws?ticket=mine"


def test_the_query_goes_as_it_came() -> None:
    """The UI sends the query unchanged, so the doctor does, too."""
    assert parsed("ws://h/p/api/ws?token=a%2Bb+c&x=%zz").request_target == (
        "/p/api/ws?token=a%2Bb+c&x=%zz"
    )


def test_the_key_is_in_no_repr() -> None:
    """A target can be shown: the key is not in it, but among its secrets in every form."""
    target = parsed("ws://h/api/ws?token=a%2Fb&internal=c")

    assert "a%2Fb" not in repr(target) + target.address
    assert set(target.secrets) == {"a%2Fb", "a/b", "c"}


@pytest.mark.parametrize(("path", "base"), [("/api/ws", ""), ("/hermes/api/ws", "/hermes")])
def test_base(path: str, base: str) -> None:
    """The other pages lie below the same prefix."""
    assert parsed(f"ws://h{path}?token=x").base == base


def test_other_pages_get_the_query_without_keys() -> None:
    """A proxy may choose the server by a parameter; no key is sent where it is not needed."""
    assert parsed("ws://h/api/ws?gw=a&token=x&ticket=y&b").public_query == "gw=a&b"
    assert parsed("ws://h/api/ws?t%6Fken=x").public_query == ""
