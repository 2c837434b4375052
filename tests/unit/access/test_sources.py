from __future__ import annotations

import sys

import pytest
from twisted.internet.task import Clock

from hermes_twisted.access.sources import LOCAL, Failures, SourceCounts, source_of


@pytest.mark.parametrize(
    ("host", "source"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        (None, LOCAL),
        ("not an address", LOCAL),
    ],
)
def test_sources(host: str | None, source: str) -> None:
    """IPv4 by address, IPv6 by network, all else as one."""
    assert source_of(host) == source


def test_a_million_sources() -> None:
    """Memory does not grow with the number of addresses; the busiest are remembered."""
    clock = Clock()
    failures = Failures(clock.seconds, count=3, sources=1000)
    for number in range(3):
        failures.note("192.0.2.1")
        assert bool(failures.blocked_for("192.0.2.1")) == (number == 2)
    for number in range(1_000_000):
        failures.note(f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::/64")
        if number % 500 == 0:
            failures.note("192.0.2.1")

    assert len(failures) == 1000
    assert sys.getsizeof(failures._known) < 256 * 1024
    assert failures.blocked_for("192.0.2.1")


def test_the_quietest_source_is_forgotten() -> None:
    """Not the newest: else an attacker could keep the table full of others."""
    failures = Failures(Clock().seconds, count=1, sources=2)
    for source in ("a", "b", "a", "c"):
        failures.note(source)

    assert failures.blocked_for("a")
    assert not failures.blocked_for("b")
    assert failures.blocked_for("c")


def test_asking_remembers_nothing() -> None:
    """A source without failures takes no place."""
    failures = Failures(Clock().seconds)

    assert failures.blocked_for("192.0.2.1") == 0
    assert len(failures) == 0


def test_source_counts() -> None:
    """A source is forgotten with its last link."""
    counts = SourceCounts()
    counts.enter("a")
    counts.enter("a")
    counts.leave("a")
    assert counts.of("a") == 1
    counts.leave("a")
    counts.leave("a")

    assert counts.of("a") == 0
    assert not counts._counts
