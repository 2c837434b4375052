"""The interface for metrics: what the server counts and measures, wherever it is kept."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Meter(Protocol):
    """Receives everything that is counted or measured. It must not raise.

    Labels are few and ours: nothing that a client sends becomes one.
    """

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Add *by* to the counter *name*, with a *label* if it has cases. On the loop only."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Record a duration of *name*. Any thread may call it."""


class NullMeter:
    """Discards everything."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Do nothing."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Do nothing."""


class Tally:
    """Keeps sums and durations in memory, for tests."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.observed: list[tuple[str, float, tuple[str, ...]]] = []

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Add to the sum of *name* and *label*."""
        self.counts[name, label] += by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Append the duration to `observed`."""
        self.observed.append((name, seconds, labels))

    def of(self, name: str, label: str = "") -> int:
        """Return the sum of *name* and *label*."""
        return self.counts[name, label]
