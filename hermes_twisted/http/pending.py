"""Connections that have shown no key yet: how many, and which one goes when there are too many."""

from __future__ import annotations

import resource
from typing import Protocol

from ..meter import Meter


def descriptor_share() -> float:
    """How many of the process's file descriptors may be sockets that have shown no key."""
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else max(1, soft // 4)


class Droppable(Protocol):
    """A connection that can be ended at once."""

    def drop(self) -> None:
        """End it now."""


class Pending:
    """Connections without a key. When there are too many, the oldest goes.

    Never the newest: else whoever holds them all open would keep the owner out.
    """

    def __init__(self, limit: float, meter: Meter) -> None:
        self._limit = limit
        self._meter = meter
        self._channels: dict[Droppable, None] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: Droppable) -> None:
        """A connection has come."""
        self._channels[channel] = None
        if len(self._channels) > self._limit:
            # Out at once: many come in one turn of the loop, and each has to push one out.
            oldest = next(iter(self._channels))
            del self._channels[oldest]
            self._meter.count("limit", "pending")
            oldest.drop()

    def remove(self, channel: Droppable) -> None:
        """It has gone, or shown a key."""
        self._channels.pop(channel, None)
