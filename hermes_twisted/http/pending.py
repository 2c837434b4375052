"""Limits the number of connections without a valid key so far."""

from __future__ import annotations

import resource
from typing import Protocol

from ..meter import Meter


def descriptor_share() -> float:
    """Return how many descriptors pending connections may use: a quarter of RLIMIT_NOFILE."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else max(1, soft // 4)


class Droppable(Protocol):
    """A connection that can be ended at once."""

    def drop(self) -> None:
        """Abort the connection."""


class Pending:
    """The connections without a valid key so far. Beyond *limit* the oldest is dropped.

    If new ones were refused instead, an attacker with many open connections could lock out all
    users.
    """

    def __init__(self, limit: float, meter: Meter) -> None:
        self._limit = limit
        self._meter = meter
        self._channels: dict[Droppable, None] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: Droppable) -> None:
        """Add a connection; drop the oldest if there are too many."""
        self._channels[channel] = None
        if len(self._channels) > self._limit:
            # Removed before it has ended: several may arrive in one turn of the loop.
            oldest = next(iter(self._channels))
            del self._channels[oldest]
            self._meter.count("limit", "pending")
            oldest.drop()

    def remove(self, channel: Droppable) -> None:
        """Remove a connection that has ended or shown a valid key."""
        self._channels.pop(channel, None)
