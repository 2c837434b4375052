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


#: Events a second of the rows; a brisk model's pace.
PACE: Final = 200
#: Those of the figure of cost against load.
RATES: Final = (50, PACE, 1000, 5000)


@dataclass(frozen=True)
class Limit:
    """A target."""

    value: float
    absolute: bool = False
    """Of the value itself, not of its ratio to the peer's."""


@dataclass(frozen=True)
class Targets:
    """One for each backend, or none."""

    inprocess: Limit | None = None
    worker: Limit | None = None


@dataclass(frozen=True)
class Row:
    """One metric."""

    key: str
    label: str
    targets: Targets
    more_is_better: bool = False
    floor: float | None = None
    """Target of the in-process backend's ratio to P4."""

    def limit(self, server: str) -> Limit | None:
        """What *server* is to reach; the fallbacks are to be better than the peer."""
        if server == PLAIN:
            return None if self.targets.inprocess is None else Limit(1.0)
        return self.targets.worker if server == WORKER else self.targets.inprocess

    def keeps(self, number: float, limit: float) -> bool:
        """Whether *number* is on the right side of *limit*."""
        return number >= limit if self.more_is_better else number <= limit

    def sign(self) -> str:
        """How a target is written."""
        return "≥" if self.more_is_better else "≤"


def _ratios(inprocess: float, worker: float) -> Targets:
    return Targets(Limit(inprocess), Limit(worker))


def _values(inprocess: float | None, worker: float) -> Targets:
    ours = None if inprocess is None else Limit(inprocess, absolute=True)
    return Targets(ours, Limit(worker, absolute=True))


_NONE: Final = Targets()


def _less(key: str, label: str, targets: Targets = _NONE, floor: float | None = None) -> Row:
    return Row(key, label, targets, floor=floor)


def _more(key: str, label: str, targets: Targets = _NONE, floor: float | None = None) -> Row:
    return Row(key, label, targets, more_is_better=True, floor=floor)


#: In the order of the tables.
ROWS: Final[tuple[Row, ...]] = (
    _less("round_trip_p50", "small request, round trip, p50 µs", _ratios(0.55, 0.85), floor=1.3),
    _less("round_trip_p90", "small request, round trip, p90 µs"),
    _less("pooled_p50", "request for Hermes' pool, round trip, p50 µs", _ratios(0.6, 0.85)),
    _less("pooled_p90", "request for Hermes' pool, round trip, p90 µs"),
    _more("requests_1", "pipelined requests/s, 1 client", _ratios(5, 4)),
    _more("requests_50", "pipelined requests/s, 50 clients", _ratios(5, 4)),
    _less("event_p50", "event latency at 200/s, p50 µs", _ratios(0.01, 0.015)),
    _less("event_p99", "event latency at 200/s, p99 µs", _ratios(0.05, 0.06)),
    _more("events_1", "events/s flat out, 1 session", _ratios(2.5, 2), floor=0.8),
    _more("events_20", "events/s flat out, 20 sessions", _ratios(3.5, 2), floor=0.8),
    _less("event_cpu_1", "server CPU s per 100,000 events, 1 session", _ratios(0.4, 0.7)),
    _less("event_cpu_20", "server CPU s per 100,000 events, 20 sessions", _ratios(0.4, 0.7)),
    _less("large_ms", "8 MB answer, ms", _ratios(0.25, 0.4)),
    _less("large_peak", "8 MB answer, peak memory above it, in answers", _values(1.5, 3)),
    _more("handshakes", "handshakes/s"),
    _less("handshake_cpu", "server CPU per handshake, µs", _ratios(1, 1)),
    _less("accept_s", "time to accept 1,000 clients, s"),
    _less("idle_memory", "memory per idle client, KiB", _ratios(0.7, 0.7)),
    _less("idle_cpu", "CPU with 1,000 clients, each pinged once a second, % of a core"),
    _less("beside_stuck", "event latency beside a stuck client ÷ alone, p50", _values(1.1, 1.1)),
    _less("burn_p50", "round trip while a Hermes thread computes, p50 µs", _ratios(0.3, 0.3)),
    _less("held_health", "/health while Hermes holds the GIL, p99 ms", _values(None, 5)),
    _less("held_ping", "WebSocket ping while Hermes holds the GIL, p99 ms", _values(None, 5)),
)


#: Before a real Hermes. Most of such times is Hermes' own: no targets.
REAL_ROWS: Final[tuple[Row, ...]] = (
    _less("real_list_p50", "`session.list`, p50 ms"),
    _less("real_catalog_p50", "`commands.catalog`, p50 ms"),
    _less("real_slash_p50", "`complete.slash`, p50 ms"),
    _less("real_event_p50", "turn at 200 words/s: a word's way from the model, p50 ms"),
    _less("real_event_p99", "turn at 200 words/s: a word's way from the model, p99 ms"),
    _less("real_turn", "turn of 2,000 words as fast as it goes, s"),
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
