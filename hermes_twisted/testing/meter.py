"""A meter in memory."""

from __future__ import annotations

from collections import Counter


class Tally:
    """A meter that keeps sums and durations in memory."""

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
