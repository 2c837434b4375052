from __future__ import annotations

import pytest

from hermes_twisted.shared.bounded_map import BoundedMap


def test_the_oldest_is_evicted() -> None:
    """Writing makes an entry the newest, also one that is there already."""
    entries = BoundedMap[str, int](2)
    entries["a"], entries["b"], entries["a"] = 1, 2, 3

    entries["c"] = 4

    assert dict(entries) == {"a": 3, "c": 4}


def test_reading_keeps_the_order() -> None:
    """What is only looked at is not spared."""
    entries = BoundedMap[str, int](2)
    entries["a"], entries["b"] = 1, 2
    assert entries["a"] == 1 and entries.get("a") == 1 and "a" in entries

    entries["c"] = 3

    assert list(entries) == ["b", "c"]


def test_entries_can_be_removed() -> None:
    """What is gone leaves its room to another."""
    entries = BoundedMap[str, int](2)
    entries["a"], entries["b"] = 1, 2

    del entries["a"]
    entries["c"] = 3

    assert len(entries) == 2 and entries.pop("b") == 2


def test_room_for_nothing_is_a_mistake() -> None:
    """A limit below 1 would lose what was just written."""
    with pytest.raises(ValueError, match="room"):
        BoundedMap[str, int](0)
