from __future__ import annotations

from hermes_twisted.meter import NullMeter
from hermes_twisted.testing import Tally
from hermes_twisted.websocket.assembly import Assembly, Budget


def test_message() -> None:
    """The parts, in order; and all is given back."""
    budget = Budget(10)
    message = Assembly(5, budget)
    message.begin()

    assert message.add(b"ab")
    assert message.add(b"")
    assert message.add(b"cd")
    assert (len(message), budget.left, message.left) == (4, 6, 6)
    assert message.finish() == b"abcd"
    assert (len(message), budget.left) == (0, 10)


def test_budget_is_shared() -> None:
    """What one holds the others cannot have; what does not fit is left out whole."""
    budget = Budget(10)
    first, second = Assembly(5, budget), Assembly(5, budget)

    assert first.add(b"x" * 7)
    assert not second.add(b"x" * 4)
    assert len(second) == 0
    assert second.add(b"x" * 3)
    assert budget.left == 0

    first.drop()
    assert budget.left == 7
    assert second.add(b"x" * 7)


def test_dropped_twice() -> None:
    """What has been given back is not given back again."""
    budget = Budget(10)
    message = Assembly(5, budget)
    message.add(b"x" * 4)

    message.drop()
    message.drop()
    message.begin()

    assert budget.left == 10


def test_fragments() -> None:
    """Fragments are counted anew for each message."""
    message = Assembly(2, Budget(10))

    for _ in range(2):
        message.begin()
        assert [message.fragment() for _ in range(3)] == [True, True, False]


def test_meters() -> None:
    """A tally keeps counts by name and label, the other meter nothing."""
    tally = Tally()

    for meter in (tally, NullMeter()):
        meter.count("limit", "body")
        meter.count("limit", "body", by=2)
        meter.count("frames")

    assert tally.counts == {("limit", "body"): 3, ("frames", ""): 1}
