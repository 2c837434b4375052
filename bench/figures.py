"""The figures of docs/benchmarks.md: latency by percentile, and cost against load."""

from __future__ import annotations

import io
from collections.abc import Callable
from statistics import median
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, StrMethodFormatter

from .results import PINNED, UNPINNED, Results
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, RATES, STDIO, WORKER

#: Label, colour and line style of each server. Colour-blind people can tell the colours apart
#: (they are Okabe and Ito's), and so can everybody the styles.
STYLES: Final[dict[str, tuple[str, str, Any]]] = {
    INPROCESS: ("ours, in-process", "#009E73", "solid"),
    WORKER: ("ours, worker (not pinned)", "#0072B2", "solid"),
    PEER: ("P1 FastAPI, uvicorn", "#D55E00", "dashed"),
    AIOHTTP: ("P2 aiohttp", "#E69F00", "dotted"),
    STDIO: ("P3 stdio pipe", "#CC79A7", "dashdot"),
    FLOOR: ("P4 floor", "#000000", (0, (4, 4))),
}
#: Percentiles at which a distribution is drawn, and those with a tick.
PERCENTS: Final = np.concatenate([np.arange(99), np.arange(99, 99.95, 0.1)])
TICKS: Final = (0, 50, 90, 99, 99.9)

#: From a key's values of each round, or its samples: x and y of a line.
Points = Callable[[Callable[[str], list[float]]], tuple[Any, Any]]


def latency(results: Results) -> Figure:
    """Distributions of round trips, and of events at a model's pace."""
    trips = ("round_trip", "small request, round trip")
    return _figure(results, _distribution, [trips, ("event", "event of a turn at 200/s")])


def cost(results: Results) -> Figure:
    """CPU time and latency against the rate of events."""
    cpu = ("rate_cpu", "server CPU per event, µs")
    return _figure(results, _against_rate, [cpu, ("rate_p50", "event latency, median, µs")])


def svg(figure: Figure) -> str:
    """The figure as SVG with text as text; equal for equal results."""
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench"}):
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()


def _figure(
    results: Results, prepare: Callable[[Axes, str], Points], panels: list[tuple[str, str]]
) -> Figure:
    """Panels side by side, with a line for each server and one legend."""
    figure = Figure(figsize=(8.8, 4.2), layout="constrained")
    for number, (key, title) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), number, title=title, yscale="log")
        points = prepare(axes, key)
        for server, (label, colour, style) in STYLES.items():
            part = results.parts.get(UNPINNED if server == WORKER else PINNED)
            x, y = points(
                lambda key, part=part, server=server: part.of(key, server) if part else []
            )
            if len(x):
                axes.plot(x, y, color=colour, linestyle=style, label=label)
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.minorticks_off()
        axes.grid(color="#ddd")
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=3)
    return figure


def _distribution(axes: Axes, key: str) -> Points:
    """Latency by percentile; each nine is as far from the next."""

    def to_nines(percents: Any) -> Any:
        with np.errstate(all="ignore"):
            return -np.log10(1 - percents / 100)

    axes.set(xlabel="percentile", ylabel="latency, µs")
    axes.set_xscale("function", functions=(to_nines, lambda nines: 100 * (1 - 10.0**-nines)))
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])

    def points(of: Callable[[str], list[float]]) -> tuple[Any, Any]:
        samples = of(key)
        # A percentile is drawn where more than one sample is above it.
        kept = PERCENTS[(1 - PERCENTS / 100) * len(samples) >= 2]
        return kept, np.percentile(samples, kept) * 1e6 if samples else kept

    return points


def _against_rate(axes: Axes, key: str) -> Points:
    """Medians against the rate of events."""
    axes.set(xlabel="events per second, one session", xscale="log")
    axes.set_xticks(RATES, [f"{rate:,}" for rate in RATES])

    def points(of: Callable[[str], list[float]]) -> tuple[Any, Any]:
        found = {rate: median(values) for rate in RATES if (values := of(f"{key}_{rate}"))}
        return list(found), list(found.values())

    return points
