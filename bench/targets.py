"""The rows of the tables, and what this server is to reach: data, in one place.

A target is a limit for a ratio to the peer's value (P1), or for the value itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from .results import Part
from .stats import ratio, short

WORKER: Final = "worker"
INPROCESS: Final = "inprocess"
PLAIN: Final = "plain"
PEER: Final = "P1"
AIOHTTP: Final = "P2"
STDIO: Final = "P3"
FLOOR: Final = "P4"
OURS: Final = (WORKER, INPROCESS, PLAIN)


@dataclass(frozen=True)
class Limit:
    """A target."""

    value: float
    absolute: bool = False
    """Of the value itself, not of its ratio to the peer's."""


@dataclass(frozen=True)
class Row:
    """One metric."""

    key: str
    label: str
    more_is_better: bool = False
    inprocess: Limit | None = None
    worker: Limit | None = None
    floor: float | None = None
    """Target of the in-process backend's ratio to P4."""

    def limit(self, server: str) -> Limit | None:
        """What *server* is to reach; the fallbacks are to be better than the peer."""
        if server == PLAIN:
            return None if self.inprocess is None else Limit(1.0)
        return self.worker if server == WORKER else self.inprocess

    def keeps(self, number: float, limit: float) -> bool:
        """Whether *number* is on the right side of *limit*."""
        return number >= limit if self.more_is_better else number <= limit

    def sign(self) -> str:
        """How a target is written."""
        return "≥" if self.more_is_better else "≤"


def _ratios(inprocess: float, worker: float) -> dict[str, Limit]:
    return {"inprocess": Limit(inprocess), "worker": Limit(worker)}


def _values(inprocess: float | None, worker: float) -> dict[str, Limit | None]:
    ours = None if inprocess is None else Limit(inprocess, absolute=True)
    return {"inprocess": ours, "worker": Limit(worker, absolute=True)}


#: In the order of the tables.
ROWS: Final[tuple[Row, ...]] = (
    Row("round_trip_p50", "small request, round trip, p50 µs", floor=1.3, **_ratios(0.55, 0.85)),
    Row("round_trip_p90", "small request, round trip, p90 µs"),
    Row("pooled_p50", "request for Hermes' pool, round trip, p50 µs", **_ratios(0.6, 0.85)),
    Row("pooled_p90", "request for Hermes' pool, round trip, p90 µs"),
    Row("requests_1", "pipelined requests/s, 1 client", True, **_ratios(5, 4)),
    Row("requests_50", "pipelined requests/s, 50 clients", True, **_ratios(5, 4)),
    Row("event_p50", "event latency at 200/s, p50 µs", **_ratios(0.01, 0.015)),
    Row("event_p99", "event latency at 200/s, p99 µs", **_ratios(0.05, 0.06)),
    Row("events_1", "events/s flat out, 1 session", True, floor=0.8, **_ratios(2.5, 2)),
    Row("events_20", "events/s flat out, 20 sessions", True, floor=0.8, **_ratios(3.5, 2)),
    Row("event_cpu_1", "server CPU s per 100,000 events, 1 session", **_ratios(0.4, 0.7)),
    Row("event_cpu_20", "server CPU s per 100,000 events, 20 sessions", **_ratios(0.4, 0.7)),
    Row("large_ms", "8 MB answer, ms", **_ratios(0.25, 0.4)),
    Row("large_peak", "8 MB answer, peak memory above it, in answers", **_values(1.5, 3)),
    Row("handshakes", "handshakes/s", True),
    Row("handshake_cpu", "server CPU per handshake, µs", **_ratios(1, 1)),
    Row("accept_s", "time to accept 1,000 clients, s"),
    Row("idle_memory", "memory per idle client, KiB", **_ratios(0.7, 0.7)),
    Row("idle_cpu", "CPU with 1,000 clients, each pinged once a second, % of a core"),
    Row("beside_stuck", "event latency beside a stuck client ÷ alone, p50", **_values(1.1, 1.1)),
    Row("burn_p50", "round trip while a Hermes thread computes, p50 µs", **_ratios(0.3, 0.3)),
    Row("held_health", "/health while Hermes holds the GIL, p99 ms", **_values(None, 5)),
    Row("held_ping", "WebSocket ping while Hermes holds the GIL, p99 ms", **_values(None, 5)),
)


@dataclass(frozen=True)
class Verdict:
    """What became of a target."""

    text: str
    """The target, as it is written in a table."""
    met: bool


def verdict(row: Row, part: Part, server: str) -> Verdict | None:
    """Of *server*; None without a target, or where it was not measured."""
    limit, ours = row.limit(server), part.of(row.key, server)
    if limit is None or not ours:
        return None
    if limit.absolute:
        return Verdict(f"{row.sign()} {short(limit.value)} itself", _keeps(row, ours, limit.value))
    found = ratio(ours, part.of(row.key, PEER)) if part.of(row.key, PEER) else None
    if found is None:
        return None
    return Verdict(f"{row.sign()} {short(limit.value)}", row.keeps(found, limit.value))


def floor_verdict(row: Row, part: Part) -> Verdict | None:
    """Of the in-process backend beside P4; None as above."""
    ours, floor = part.of(row.key, INPROCESS), part.of(row.key, FLOOR)
    found = ratio(ours, floor) if ours and floor else None
    if row.floor is None or found is None:
        return None
    return Verdict(f"{row.sign()} {short(row.floor)}", row.keeps(found, row.floor))


def _keeps(row: Row, values: Sequence[float], limit: float) -> bool:
    return row.keeps(median(values), limit)
