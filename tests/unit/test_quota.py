from __future__ import annotations

from twisted.internet.task import Clock

from hermes_twisted.quota import Quota


def test_so_many_and_no_more() -> None:
    """Within a period just *count* are let through."""
    quota = Quota(3, 60, Clock().seconds)

    assert [quota.spend() for _ in range(5)] == [True, True, True, False, False]


def test_a_new_period() -> None:
    """After the period, and not before, as many are let through again."""
    clock = Clock()
    quota = Quota(1, 60, clock.seconds)
    quota.spend()

    clock.advance(59.9)
    assert not quota.spend()
    clock.advance(0.1)
    assert quota.spend()
    assert not quota.spend()


def test_period_begins_with_use() -> None:
    """A new period counts from the first use after the last, not in fixed steps."""
    clock = Clock()
    quota = Quota(1, 60, clock.seconds)
    clock.advance(90)
    assert quota.spend()

    clock.advance(59)

    assert not quota.spend()


def test_missed_are_counted_once() -> None:
    """What went beyond is told once, across periods."""
    clock = Clock()
    quota = Quota(1, 60, clock.seconds)
    for _ in range(3):
        quota.spend()
    clock.advance(60)
    for _ in range(2):
        quota.spend()

    assert quota.take_missed() == 3
    assert quota.take_missed() == 0


def test_nothing_missed() -> None:
    """Within the quota nothing is missed."""
    quota = Quota(1, 60, Clock().seconds)
    quota.spend()

    assert quota.take_missed() == 0
