"""The interface through which the server counts and measures."""

from __future__ import annotations

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
