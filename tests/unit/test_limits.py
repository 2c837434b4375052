from __future__ import annotations

import dataclasses

from hermes_twisted.config.option import options_of
from hermes_twisted.limits import Limits


def test_everything_is_limited() -> None:
    """Every default is a positive, finite number: zero often means "unlimited" below us."""
    for name, value in dataclasses.asdict(Limits()).items():
        assert value is False or 0 < value < float("inf"), name


def test_defaults_fit_together() -> None:
    """A limit that comes into force first is the smaller one."""
    limits = Limits()

    assert (
        limits.max_unread
        < limits.max_queued_soft
        < limits.max_queued_hard
        < limits.max_queued_total
    )
    assert limits.credit_window < limits.max_queued_soft
    assert limits.urgent_threads < limits.max_threads
    assert limits.max_pending < limits.max_connections
    # One message of the largest size must not close its sender's tap for good.
    assert limits.max_message <= limits.max_waiting_bytes
    assert limits.max_message < limits.max_unfinished


def test_every_limit_is_an_option() -> None:
    """An operator can change each of them."""
    assert [option.field for option in options_of(Limits)] == [
        field.name for field in dataclasses.fields(Limits)
    ]
    assert {option.default for option in options_of(Limits)} >= {120.0, 5.0, 16, 64}
