"""The interface through which the server counts and measures, and two implementations."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Meter(Protocol):
    """Records counters and durations. No method raises.

    Labels come from small fixed sets, never from client input.
    """

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Add *by* to the counter *name*, of its *label* if it has labels. On the loop only."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Record a duration, in seconds, of *name*. Thread-safe."""


class NullMeter:
    """A meter that records nothing."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Do nothing."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Do nothing."""


class Tally:
    """A meter that keeps sums and durations in memory, for tests."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.observed: list[tuple[str, float, tuple[str, ...]]] = []

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """Add *by* to the sum of *name* and *label*."""
        self.counts[name, label] += by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Append the duration to `observed`."""
        self.observed.append((name, seconds, labels))

    def of(self, name: str, label: str = "") -> int:
        """Return the sum of *name* and *label*."""
        return self.counts[name, label]
