from __future__ import annotations

from hermes_twisted.meter import NullMeter
from hermes_twisted.testing import Tally


def test_a_tally_adds_up() -> None:
    """By name and label, each for itself."""
    tally = Tally()
    tally.count("limit", "pending")
    tally.count("limit", "pending", 2)
    tally.count("limit", "fragments")

    assert tally.of("limit", "pending") == 3
    assert tally.of("limit", "fragments") == 1
    assert tally.of("limit") == 0


def test_nobody_need_count() -> None:
    """The one that counts nothing takes the same calls."""
    NullMeter().count("limit", "pending", 2)
