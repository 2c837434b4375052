"""The tables and figures of a run, and docs/benchmarks.md."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from statistics import median, quantiles
from string import Template
from typing import Any, Final

from . import targets
from .results import PINNED, REAL, UNPINNED, Part, Results, digits, ratio, span, table
from .targets import FLOOR, INPROCESS, PEER, RATES, ROWS, WORKER, Row, verdict

PAGE: Final = Path(__file__).with_name("page.md")
#: Label, colour and line style of each server. Colour-blind people can tell the colours apart
#: (they are Okabe and Ito's), and so can everybody the styles.
STYLES: Final[dict[str, tuple[str, str, Any]]] = {
    INPROCESS: ("ours, in-process", "#009E73", "solid"),
    WORKER: ("ours, worker (not pinned)", "#0072B2", "solid"),
    PEER: ("P1 FastAPI, uvicorn", "#D55E00", "dashed"),
    targets.AIOHTTP: ("P2 aiohttp", "#E69F00", "dotted"),
    targets.STDIO: ("P3 stdio pipe", "#CC79A7", "dashdot"),
    FLOOR: ("P4 floor", "#000000", (0, (4, 4))),
}
#: The points of a line: by x their y.
Points = dict[float, float]


def page(results: Results) -> str:
    """Return docs/benchmarks.md. Raises `KeyError` if a part was not measured."""
    parts, machine = results.parts, results.machine.items()
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        tables(results),
        rounds=results.rounds,
        machine="\n".join(f"- {name}: {text}" for name, text in machine),
        score=f"{score(parts[PINNED], INPROCESS)}\n{score(parts[UNPINNED], WORKER)}",
    )


def tables(results: Results) -> dict[str, str]:
    """Return the tables of the parts that were measured, by their places in the page."""
    made = {name: part_table(part, name == REAL) for name, part in results.parts.items()}
    if PINNED in results.parts:
        made["floor"] = floor_table(results.parts[PINNED])
    loads = [f"- {name}: {other_load(part)}" for name, part in results.parts.items()]
    return made | {"other_load": "\n".join(loads)}


def part_table(part: Part, is_real: bool = False) -> str:
    """Return medians of all servers, and ours divided by P1; targets unless Hermes is real."""
    ours = [name for name in part.servers if name in targets.OURS]
    head = ["", *part.servers]
    for name in ours:
        head += [f"{name} ÷ {PEER}", *(["target", "met"] if not is_real else [])]
    rows = []
    for row in targets.REAL_ROWS if is_real else ROWS:
        found = [part.of(row.key, server) for server in part.servers]
        cells = [row.label, *(digits(median(values)) if values else "-" for values in found)]
        for name in ours:
            cells += _judged(part, row, name, PEER)[: 1 if is_real else 3]
        if any(found):
            rows.append(cells)
    return table(head, rows)


def floor_table(part: Part) -> str:
    """Return the in-process backend divided by P4, for what both have."""
    rows = [[row.label, *_judged(part, row, INPROCESS, FLOOR)] for row in ROWS]
    return table(["", f"{INPROCESS} ÷ {FLOOR}", "target", "met"], [r for r in rows if r[1] != "-"])


def _judged(part: Part, row: Row, server: str, divisor: str) -> list[str]:
    """Return a ratio with the lowest and the highest of single rounds, a target, and yes or no."""
    above, below = part.of(row.key, server), part.of(row.key, divisor)
    found, ends = ratio(above, below), span(above, below)
    text = "-" if found is None else digits(found, 2)
    if ends:
        text += f" ({digits(ends[0], 2)} to {digits(ends[1], 2)})"
    target, met = verdict(row, part, server, divisor) or ("", None)
    return [text, target, {True: "yes", False: "**no**", None: ""}[met]]


def score(part: Part, server: str) -> str:
    """Return how many targets *server* meets, and the rows of those that it misses."""
    judged = [(row.label, *found) for row in ROWS if (found := verdict(row, part, server))]
    missed = [label for label, _target, met in judged if not met]
    text = f"- **{server}** meets {len(judged) - len(missed)} of {len(judged)} targets"
    return f"{text}; missed: {'; '.join(missed)}." if missed else f"{text}."


def other_load(part: Part) -> str:
    """Return a line on the load of other programs."""
    text = f"other programs used {max(part.other_load):.0%} of the machine at most"
    left_out = f" (rounds left out, as they used more: {part.left_out})" if part.left_out else ""
    return text + left_out


def distribution(part: Part, key: str, server: str) -> Points:
    """Return microseconds by the share of samples below; where two samples at least are above."""
    times = part.of(key, server)
    if len(times) < 2:
        return {}
    found = enumerate(quantiles(times, n=1000, method="inclusive"), 1)
    return {n / 1000: time * 1e6 for n, time in found if (1 - n / 1000) * len(times) >= 2}


def against_rate(part: Part, key: str, server: str) -> Points:
    """Return medians by the rate of events."""
    return {rate: median(found) for rate in RATES if (found := part.of(f"{key}_{rate}", server))}


def latency_svg(results: Results) -> str:
    """Draw distributions of round trips, and of events at a model's pace."""
    panels = {"round_trip": "small request, round trip", "event": "event of a turn at 200/s"}
    ticks = {share: f"{share * 100:g}" for share in (0.1, 0.5, 0.9, 0.99, 0.999)}
    axes = {"xlabel": "percentile", "ylabel": "latency, µs", "xscale": "logit"}
    return _svg(results, distribution, panels, ticks, **axes)


def cost_svg(results: Results) -> str:
    """Draw CPU time and latency against the rate of events."""
    panels = {"rate_cpu": "server CPU per event, µs", "rate_p50": "event latency, median, µs"}
    ticks = {rate: f"{rate:,}" for rate in RATES}
    axes = {"xlabel": "events per second, one session", "xscale": "log"}
    return _svg(results, against_rate, panels, ticks, **axes)


def _svg(
    results: Results,
    points: Callable[[Part, str, str], Points],
    panels: dict[str, str],
    ticks: dict[float, str],
    **settings: str,
) -> str:
    """Draw panels side by side, with a line for each server; equal for equal results."""
    import matplotlib as mpl  # Only drawing needs it.
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    figure = Figure(figsize=(8.8, 4.2), layout="constrained")
    for axes, (key, title) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        for server, (label, colour, style) in STYLES.items():
            part = results.parts[UNPINNED if server == WORKER else PINNED]
            if line := points(part, key, server):
                axes.plot(*zip(*line.items(), strict=True), color=colour, ls=style, label=label)
        axes.set(title=title, yscale="log", **settings)
        axes.set_xticks([*ticks], [*ticks.values()])
        axes.set_xlim(min(ticks), max(ticks))
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.grid(color="#ddd")
    lines = {line.get_label(): line for axes in figure.axes for line in axes.get_lines()}
    figure.legend(lines.values(), lines.keys(), loc="outside upper center", ncols=3)
    file = io.StringIO()
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "bench"}):  # Text as text.
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(file, format="svg", metadata=nothing)
    return file.getvalue()
