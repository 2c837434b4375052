"""The figures of docs/benchmarks.md: how late, and at what cost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from statistics import median
from typing import Final

from .results import PINNED, UNPINNED, Part, Results
from .stats import at_share
from .svg import Line, Log, Panel, Tail, draw
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, RATES, STDIO, WORKER

#: Okabe and Ito's colours, which those who confuse red and green can tell apart, and dashes.
LOOKS: Final[Mapping[str, tuple[str, str, str]]] = {
    INPROCESS: ("ours, in-process", "#009E73", ""),
    WORKER: ("ours, worker (not pinned)", "#0072B2", ""),
    PEER: ("P1 FastAPI, uvicorn", "#D55E00", "7 3"),
    AIOHTTP: ("P2 aiohttp", "#E69F00", "2 3"),
    STDIO: ("P3 stdio pipe", "#CC79A7", "9 3 2 3"),
    FLOOR: ("P4 floor", "#000000", "4 4"),
}
#: Which part has each server's line.
SOURCES: Final = {**dict.fromkeys(LOOKS, PINNED), WORKER: UNPINNED}
#: Shares of the samples at which a distribution is drawn.
SHARES: Final = [*(n / 100 for n in range(0, 99)), *(0.99 + n / 1000 for n in range(10))]

Points = list[tuple[float, float]]


def latency(results: Results) -> str:
    """Distributions of round trips, and of events at a model's pace."""
    panels = [
        _distribution(results, "round_trip", "small request, round trip"),
        _distribution(results, "event", "event of a turn at 200/s"),
    ]
    return draw("Latency by percentile, for each server", panels)


def cost(results: Results) -> str:
    """CPU and latency against the rate of events."""
    panels = [
        _against_rate(results, "paced_cpu", "server CPU per event", "µs of CPU per event"),
        _against_rate(results, "paced_p50", "event latency, median", "latency, µs"),
    ]
    return draw("Cost and latency against load, for each server", panels)


def _distribution(results: Results, key: str, title: str) -> Panel:
    def points(part: Part, server: str) -> Points:
        ordered = sorted(part.samples.get(key, {}).get(server, ()))
        # A share is drawn where more than one sample is above it.
        shares = [share for share in SHARES if (1 - share) * len(ordered) >= 2]
        return [(share, at_share(ordered, share) * 1e6) for share in shares]

    lines = list(_lines(results, points, dots=False))
    scale = Log.around([y for line in lines for _x, y in line.points])
    return Panel(title, "percentile", "latency, µs", Tail(), scale, lines)


def _against_rate(results: Results, key: str, title: str, label: str) -> Panel:
    def points(part: Part, server: str) -> Points:
        found = ((rate, part.of(f"{key}_{rate}", server)) for rate in RATES)
        return [(rate, median(values)) for rate, values in found if values]

    lines = list(_lines(results, points, dots=True))
    y = Log.around([y for line in lines for _x, y in line.points])
    return Panel(title, "events per second, one session", label, Log.around(RATES), y, lines)


def _lines(
    results: Results, points: Callable[[Part, str], Points], *, dots: bool
) -> Iterator[Line]:
    for server, (label, colour, dashes) in LOOKS.items():
        part = results.parts.get(SOURCES[server])
        found = points(part, server) if part is not None else []
        if found:
            yield Line(label, colour, dashes, found, dots)
