"""The rows of the tables and the targets of this server: data, in one place.

A target is a limit of the ratio to P1's value, or of the value itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Final

from .results import Part, digits, ratio

WORKER: Final = "worker"
INPROCESS: Final = "inprocess"
PEER: Final = "P1"
AIOHTTP: Final = "P2"
STDIO: Final = "P3"
FLOOR: Final = "P4"
OURS: Final = (WORKER, INPROCESS)

#: Events a second of the rows on latency; a fast model's pace.
EVENT_RATE: Final = 200
#: Those of the figure of cost against load.
RATES: Final = (50, EVENT_RATE, 1000, 5000)


@dataclass(frozen=True)
class Row:
    """One metric, with the targets of the backends and, for in-process, of its ratio to P4."""

    key: str
    label: str
    inprocess: float | None = None
    worker: float | None = None
    floor: float | None = None
    sign: str = "≤"
    """Which side of a target is met; ≥ where more is better."""
    itself: bool = False
    """Whether a target is a limit of the value itself, not of its ratio to P1's."""


#: In the order of the tables.
ROWS: Final = (
    Row("round_trip_p50", "small request, round trip, p50 µs", 0.55, 0.85, 1.3),
    Row("round_trip_p90", "small request, round trip, p90 µs"),
    Row("pool_round_trip_p50", "request for Hermes' pool, round trip, p50 µs", 0.6, 0.85),
    Row("pool_round_trip_p90", "request for Hermes' pool, round trip, p90 µs"),
    Row("pipelined_1", "pipelined requests/s, 1 client", 5, 4, sign="≥"),
    Row("pipelined_50", "pipelined requests/s, 50 clients", 5, 4, sign="≥"),
    Row("event_p50", "event latency at 200/s, p50 µs", 0.01, 0.015),
    Row("event_p99", "event latency at 200/s, p99 µs", 0.05, 0.06),
    Row("events_1", "events/s flat out, 1 session", 2.5, 2, 0.8, sign="≥"),
    Row("events_20", "events/s flat out, 20 sessions", 3.5, 2, 0.8, sign="≥"),
    Row("event_cpu_1", "server CPU s per 100,000 events, 1 session", 0.4, 0.7),
    Row("event_cpu_20", "server CPU s per 100,000 events, 20 sessions", 0.4, 0.7),
    Row("large_answer_ms", "8 MB answer, ms", 0.25, 0.4),
    Row("large_answer_peak", "8 MB answer, peak memory above it, in answers", 1.5, 3, itself=True),
    Row("handshakes", "handshakes/s", sign="≥"),
    Row("handshake_cpu", "server CPU per handshake, µs", 1, 1),
    Row("accept_s", "time to accept 1,000 clients, s"),
    Row("idle_memory", "memory per idle client, KiB", 0.7, 0.7),
    Row("idle_cpu", "CPU with 1,000 clients, each pinged once a second, % of a core"),
    Row("slow_client", "event latency beside a stuck client ÷ alone, p50", 1.1, 1.1, itself=True),
    Row("busy_thread_p50", "round trip while a Hermes thread computes, p50 µs", 0.3, 0.3),
    Row("gil_held_health", "/health while Hermes holds the GIL, p99 ms", None, 5, itself=True),
    Row("gil_held_ping", "WebSocket ping while Hermes holds the GIL, p99 ms", None, 5, itself=True),
)

#: Before a real Hermes. Most of such times is Hermes' own: no targets.
REAL_ROWS: Final = (
    Row("real_list_p50", "`session.list`, p50 ms"),
    Row("real_catalog_p50", "`commands.catalog`, p50 ms"),
    Row("real_slash_p50", "`complete.slash`, p50 ms"),
    Row("real_event_p50", "turn at 200 words/s: a word's way from the model, p50 ms"),
    Row("real_event_p99", "turn at 200 words/s: a word's way from the model, p99 ms"),
    Row("real_turn", "turn of 2,000 words as fast as it goes, s"),
)


def verdict(row: Row, part: Part, server: str, divisor: str = PEER) -> tuple[str, bool] | None:
    """Return a target as a table has it, and whether *server*, beside P1 or P4, meets it.

    None without a target, or if one of them was not measured.
    """
    values, itself = part.of(row.key, server), row.itself and divisor == PEER
    target = row.worker if server == WORKER else row.inprocess if divisor == PEER else row.floor
    if itself:
        found = median(values) if values else None
    else:
        found = ratio(values, part.of(row.key, divisor))
    if found is None or target is None:
        return None
    met = found >= target if row.sign == "≥" else found <= target
    return f"{row.sign} {digits(target, 2)}{' itself' if itself else ''}", met
