from __future__ import annotations

import dataclasses

import pytest

from hermes_twisted.limits import Limits
from hermes_twisted.shared.outbox import SETTLE_BYTES, SETTLE_COUNT


def test_everything_is_limited() -> None:
    """Every default is a positive, finite number: zero often means "unlimited" below us."""
    for name, value in dataclasses.asdict(Limits()).items():
        assert value is False or 0 < value < float("inf"), name


def test_defaults_fit_together() -> None:
    """A limit that comes into force first is the smaller one."""
    limits = Limits()

    assert limits.hold_above < limits.soft < limits.hard < limits.queued_total
    assert limits.window < limits.soft
    assert limits.urgent_threads < limits.threads
    assert limits.pending < limits.connections
    # One message of the largest size must not close its sender's tap for good.
    assert limits.max_message <= limits.waiting_bytes
    assert limits.max_message < limits.unfinished


def test_settlements_use_the_constants() -> None:
    """With ordinary limits, settlements come in the usual lots."""
    assert Limits().settle_count == SETTLE_COUNT
    assert Limits().settle_bytes == SETTLE_BYTES


@pytest.mark.parametrize("size", [1, 7, 8, 15, 16, 100, 10**9])
def test_settlements_are_reported_in_time(size: int) -> None:
    """Unreported settlements are too few to keep a paused client paused (half its limit)."""
    limits = Limits(waiting_requests=size, waiting_bytes=size)

    assert 1 <= limits.settle_count <= max(1, size // 8)
    assert 1 <= limits.settle_bytes <= max(1, size // 8)
