"""Counting what happens: who counts neither knows nor cares where the numbers go."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Meter(Protocol):
    """Takes counts, such as `count("limit", "fragments")`."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """*name* happened *by* more times; *label* says of which kind."""


class NullMeter:
    """Counts nothing."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""


class Tally:
    """Keeps the counts, by name and label."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""
        self.counts[name, label] += by
