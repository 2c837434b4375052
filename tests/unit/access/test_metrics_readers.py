from __future__ import annotations

import pytest

from hermes_twisted.access.handshake import Head
from hermes_twisted.access.keys import Key
from hermes_twisted.access.rules import AdmissionRules, HostRule, may_read

SECRET = "hat_AAAAbbbbCCCCddddEEEE-ffff_gggg"
LOCAL = HostRule(ports=frozenset({8643}))
ANY = HostRule(any_host=True, ports=frozenset({8643}))


def ask(
    *,
    target: str = "/metrics",
    local: bool = True,
    hosts: HostRule = LOCAL,
    origins: frozenset[bytes] = frozenset(),
    blocked_for: float = 0.0,
    version: bytes = b"HTTP/1.1",
    **headers: str,
) -> str:
    """The refusal's code, or nothing."""
    given = {"host": "127.0.0.1:8643", **headers}
    lines = {n.replace("_", "-").encode(): [v.encode()] for n, v in given.items()}
    rules = AdmissionRules(Key.of("laptop", SECRET), hosts, origins)
    head = Head(b"GET", target.encode(), version, lines)
    refused = may_read(head, rules, local=local, blocked_for=blocked_for)
    return "" if refused is None else refused.code


def test_on_this_machine() -> None:
    """Without a key, by any name of loopback."""
    assert ask() == ""
    assert ask(host="localhost:8643") == ""
    assert ask(hosts=HostRule(names=frozenset({"tunnel"})), host="tunnel:1") == ""


def test_from_elsewhere() -> None:
    """Only with a key, in either place."""
    bearer = f"Bearer {SECRET}"
    assert ask(local=False, hosts=ANY) == "key-missing"
    assert ask(local=False, hosts=ANY, authorization=bearer) == ""
    assert ask(local=False, hosts=ANY, target=f"/metrics?token={SECRET}") == ""


@pytest.mark.parametrize("local", [True, False])
def test_a_key_that_is_shown_has_to_be_right(local: bool) -> None:
    """Wrong keys get no further on this machine than elsewhere, and are counted."""
    assert ask(local=local, authorization="Bearer wrong") == "key-wrong"
    assert ask(local=local, authorization="Bearer wrong", blocked_for=9) == "too-many-failures"
    assert ask(local=local, target=f"/?token={SECRET}&token={SECRET}") == "key-ambiguous"


def test_rebinding() -> None:
    """A web page whose name points here is kept out, even where any name is let in otherwise."""
    assert ask(host="evil.example:8643") == "host"
    assert ask(hosts=ANY, host="evil.example:8643") == "host"
    assert ask(host="127.0.0.1:1") == "host"


def test_web_pages() -> None:
    """No origin reads without a key; with one, those that may attach."""
    mine, bearer = "https://mine.example", f"Bearer {SECRET}"
    allowed = frozenset({mine.encode()})
    assert ask(origin=mine) == "origin"
    assert ask(origin=mine, origins=allowed) == "origin"
    assert ask(origin=mine, authorization=bearer) == "origin"
    assert ask(origin=mine, origins=allowed, authorization=bearer) == ""


@pytest.mark.parametrize(
    "header", ["x_forwarded_for", "forwarded", "via", "x_real_ip", "x_forwarded_proto"]
)
def test_behind_a_proxy(header: str) -> None:
    """What a proxy passes on does not come from this machine, though the proxy does."""
    assert ask(**{header: "198.51.100.7"}) == "key-missing"
    assert ask(**{header: "198.51.100.7"}, authorization=f"Bearer {SECRET}") == ""


def test_old_http() -> None:
    """HTTP/1.0 is what nginx speaks by itself, without a header that tells."""
    assert ask(version=b"HTTP/1.0") == "key-missing"
