"""What happens, counted: the one hook for metrics, wherever they go."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Meter(Protocol):
    """Told of everything that is counted or measured; it must not raise.

    Labels are few and ours: nothing that a client says becomes one.
    """

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """*name* happened *by* times; *label* tells the cases of one name apart. On the loop."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """One *name* took so long. Any thread may call it."""


class NullMeter:
    """Counts nothing."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """See `Meter`."""


class Tally:
    """Keeps the sums."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.observed: list[tuple[str, float, tuple[str, ...]]] = []

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""
        self.counts[name, label] += by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """See `Meter`."""
        self.observed.append((name, seconds, labels))

    def of(self, name: str, label: str = "") -> int:
        """How often it happened."""
        return self.counts[name, label]
