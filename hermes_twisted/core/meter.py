"""What happens, counted: the one hook for metrics, wherever they go."""

from __future__ import annotations

from collections import Counter
from typing import Protocol


class Meter(Protocol):
    """Told of everything that is counted; on the loop only, and it must not raise."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """*name* happened *by* times; *label* tells the cases of one name apart."""


class NullMeter:
    """Counts nothing."""

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""


class Tally:
    """Keeps the sums."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""
        self.counts[name, label] += by

    def of(self, name: str, label: str = "") -> int:
        """How often it happened."""
        return self.counts[name, label]
