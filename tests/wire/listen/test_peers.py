"""The client's address behind a proxy: what `--trust-forwarded-from` changes, and what not."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.address import IPv4Address

from hermes_twisted.testing.wire import handshake
from tests.wire.conftest import KEY, LogEvent, Server, Start

PROXY = IPv4Address("TCP", "10.0.0.1", 4711)
TRUSTING = {"trust_forwarded_from": ("10.0.0.1",)}


def attach(server: Server, client: str, key: str = KEY, **wire: Any) -> int:
    """Come as the proxy does for *client*; the status."""
    headers = [("X-Forwarded-For", client)]
    asked = handshake(f"/api/ws?token={key}", headers)
    return server.wire(peer=PROXY, **wire).ask(asked).status


def attached(log: list[LogEvent]) -> list[str]:
    return [event["peer"] for event in log if "attached" in (event.get("log_format") or "")]


def test_the_log_names_the_client(start: Start, log: list[LogEvent]) -> None:
    """Behind a trusted proxy both are named: whom it speaks for, and itself."""
    assert attach(start(TRUSTING), "192.0.2.7") == 101

    assert attached(log) == ["192.0.2.7 through 10.0.0.1:4711"]


def test_an_untrusted_header_is_ignored(start: Start, log: list[LogEvent]) -> None:
    """Without the option anyone could write it, so nobody is believed."""
    assert attach(start(), "192.0.2.7") == 101

    assert attached(log) == ["10.0.0.1:4711"]


def test_links_are_counted_by_client(start: Start) -> None:
    """One client behind a proxy does not use up the others' places."""
    server = start(TRUSTING, max_connections_per_address=1)

    assert [attach(server, f"192.0.2.{n}") for n in (7, 7, 8)] == [101, 503, 101]


def test_wrong_keys_are_counted_by_client(start: Start) -> None:
    """Nor do its wrong keys count for them."""
    server = start(TRUSTING, max_failures=1)

    tried = [attach(server, f"192.0.2.{n}", "hat_" + "wrong" * 8) for n in (7, 7, 8)]

    assert tried == [401, 429, 401]


def test_a_client_cannot_choose_its_address(start: Start) -> None:
    """What it sends itself stands left of what the proxy adds, and is not looked at."""
    server = start(TRUSTING, max_connections_per_address=1)

    tried = [attach(server, f"198.51.100.{n}, 192.0.2.7") for n in (1, 2)]

    assert tried == [101, 503]


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "localhost"])
def test_loopback_is_no_merit(client: str, start: Start) -> None:
    """A forwarded loopback address lets nobody in."""
    assert attach(start(TRUSTING), client, "hat_" + "wrong" * 8) == 401


def test_refusals_name_the_client(start: Start, log: list[LogEvent]) -> None:
    """The operator reads who was refused, not which proxy."""
    attach(start(TRUSTING), "192.0.2.7", "hat_" + "wrong" * 8)

    (refused,) = [event for event in log if "refused" in (event.get("log_format") or "")]
    assert refused["peer"] == "192.0.2.7 through 10.0.0.1:4711"
