"""The tables and the page of a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from string import Template
from typing import Final

from .results import PINNED, REAL, UNPINNED, Part, Results
from .stats import digits, ratio, short, span
from .tables import table
from .targets import FLOOR, INPROCESS, OURS, PEER, REAL_ROWS, ROWS, Row, floor_verdict, verdict

PAGE: Final = Path(__file__).with_name("page.md")
#: Where nothing was measured, or nothing is aimed at.
NONE: Final = "-"


def tables(results: Results) -> str:
    """All tables, for a terminal."""
    made = [
        ("Client and server on a core each", PINNED, main_table),
        ("Nothing pinned", UNPINNED, main_table),
        ("Beside the floor", PINNED, floor_table),
        ("Before a real Hermes", REAL, real_table),
    ]
    found = [
        f"{title}; {others(results.parts[name])}\n\n{make(results.parts[name])}"
        for title, name, make in made
        if name in results.parts
    ]
    return "\n\n".join(found)


def page(results: Results) -> str:
    """docs/benchmarks.md. Raises `KeyError` if a part was not measured."""
    pinned, unpinned, real = (results.parts[name] for name in (PINNED, UNPINNED, REAL))
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        rounds=results.rounds,
        hold=short(results.hold),
        machine="\n".join(f"- {name}: {text}" for name, text in results.machine.items()),
        score=score([(pinned, INPROCESS), (unpinned, "worker")]),
        pinned=main_table(pinned),
        unpinned=main_table(unpinned),
        floor=floor_table(pinned),
        real=real_table(real),
        others="\n".join(f"- {name}: {others(results.parts[name])}" for name in results.parts),
    )


def main_table(part: Part) -> str:
    """Medians of all servers; ours divided by the peer, with the span of single rounds."""
    ours = [name for name in part.servers if name in OURS]
    head = ["", *part.servers]
    for name in ours:
        head += [f"{name} ÷ {PEER}", "target", "met"]
    rows = []
    for row in ROWS:
        if any(part.of(row.key, server) for server in part.servers):
            cells = [row.label, *(_median(part, row, server) for server in part.servers)]
            for name in ours:
                found = verdict(row, part, name)
                target = [found.text, _met(found.met)] if found else ["", ""]
                cells += [_ratio(part.of(row.key, name), part.of(row.key, PEER)), *target]
            rows.append(cells)
    return table(head, rows)


def floor_table(part: Part) -> str:
    """The in-process backend divided by P4."""
    rows = []
    for row in ROWS:
        ours, floor = part.of(row.key, INPROCESS), part.of(row.key, FLOOR)
        if ours and floor:
            found = floor_verdict(row, part)
            target = [found.text, _met(found.met)] if found else ["", ""]
            rows.append([row.label, _ratio(ours, floor), *target])
    return table(["", f"{INPROCESS} ÷ {FLOOR}", "target", "met"], rows)


def real_table(part: Part) -> str:
    """Before a real Hermes; there are no targets."""
    ours = [name for name in part.servers if name in OURS]
    head = ["", *part.servers, *(f"{name} ÷ {PEER}" for name in ours)]
    rows = [
        [
            row.label,
            *(_median(part, row, server) for server in part.servers),
            *(_ratio(part.of(row.key, name), part.of(row.key, PEER)) for name in ours),
        ]
        for row in REAL_ROWS
    ]
    return table(head, rows)


def score(parts: Iterable[tuple[Part, str]]) -> str:
    """How many of the targets are met, and which are not."""
    lines = []
    for part, server in parts:
        found = [(row, verdict(row, part, server)) for row in ROWS]
        judged = [(row, each) for row, each in found if each is not None]
        missed = [row.label for row, each in judged if not each.met]
        line = f"- **{server}** meets {len(judged) - len(missed)} of {len(judged)} targets"
        lines.append(f"{line}; missed: {'; '.join(missed)}." if missed else f"{line}.")
    return "\n".join(lines)


def others(part: Part) -> str:
    """How quiet it was."""
    text = f"other programs used {max(part.others, default=0):.0%} of the machine at most"
    return text + (
        f" (rounds left out, as they used more: {part.left_out})" if part.left_out else ""
    )


def _median(part: Part, row: Row, server: str) -> str:
    values = part.of(row.key, server)
    return digits(median(values)) if values else NONE


def _ratio(above: Sequence[float], below: Sequence[float]) -> str:
    found = ratio(above, below) if above and below else None
    if found is None:
        return NONE
    spread = span(above, below)
    return short(found) + (f" ({short(spread[0])} to {short(spread[1])})" if spread else "")


def _met(met: bool) -> str:
    return "yes" if met else "**no**"
