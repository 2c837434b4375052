"""The tables of a run, and docs/benchmarks.md."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from string import Template
from typing import Final

from . import targets
from .results import PINNED, REAL, UNPINNED, Part, Results
from .stats import digits, ratio, short, span, table
from .targets import FLOOR, INPROCESS, OURS, PEER, REAL_ROWS, ROWS, WORKER, Row, Verdict

PAGE: Final = Path(__file__).with_name("page.md")
#: For what was not measured.
NONE: Final = "-"


def tables(results: Results) -> str:
    """All tables, for a terminal."""
    made = [
        ("Client and server on a core each", PINNED, main_table),
        ("Nothing pinned", UNPINNED, main_table),
        ("Beside the floor", PINNED, floor_table),
        ("Before a real Hermes", REAL, real_table),
    ]
    return "\n\n".join(
        f"{title}; {other_load(results.parts[name])}\n\n{make(results.parts[name])}"
        for title, name, make in made
        if name in results.parts
    )


def page(results: Results) -> str:
    """docs/benchmarks.md. Raises `KeyError` if a part was not measured."""
    pinned, unpinned, real = (results.parts[name] for name in (PINNED, UNPINNED, REAL))
    return Template(PAGE.read_text(encoding="utf-8")).substitute(
        rounds=results.rounds,
        machine="\n".join(f"- {name}: {text}" for name, text in results.machine.items()),
        score=score([(pinned, INPROCESS), (unpinned, WORKER)]),
        pinned=main_table(pinned),
        unpinned=main_table(unpinned),
        floor=floor_table(pinned),
        real=real_table(real),
        other_load="\n".join(
            f"- {name}: {other_load(results.parts[name])}" for name in results.parts
        ),
    )


def main_table(part: Part) -> str:
    """Medians of all servers; ours divided by P1, with the span of single rounds and targets."""
    return _table(part, ROWS, ["target", "met"])


def real_table(part: Part) -> str:
    """The same before a real Hermes; there are no targets."""
    return _table(part, REAL_ROWS, [])


def _table(part: Part, rows: Sequence[Row], judgement: Sequence[str]) -> str:
    ours = [name for name in part.servers if name in OURS]
    head = ["", *part.servers]
    for name in ours:
        head += [f"{name} ÷ {PEER}", *judgement]
    lines = []
    for row in rows:
        found = [part.of(row.key, server) for server in part.servers]
        line = [row.label, *(digits(median(values)) if values else NONE for values in found)]
        for name in ours:
            verdict = _cells(targets.verdict(row, part, name))
            line += [_ratio(part, row, name, PEER), *verdict[: len(judgement)]]
        if any(found):
            lines.append(line)
    return table(head, lines)


def floor_table(part: Part) -> str:
    """The in-process backend divided by P4."""
    rows = [
        [row.label, _ratio(part, row, INPROCESS, FLOOR), *_cells(targets.floor_verdict(row, part))]
        for row in ROWS
        if part.of(row.key, INPROCESS) and part.of(row.key, FLOOR)
    ]
    return table(["", f"{INPROCESS} ÷ {FLOOR}", "target", "met"], rows)


def score(parts: Iterable[tuple[Part, str]]) -> str:
    """How many targets each server meets, and the rows of those that it misses."""
    lines = []
    for part, server in parts:
        judged = [(row, found) for row in ROWS if (found := targets.verdict(row, part, server))]
        missed = [row.label for row, found in judged if not found.met]
        line = f"- **{server}** meets {len(judged) - len(missed)} of {len(judged)} targets"
        lines.append(f"{line}; missed: {'; '.join(missed)}." if missed else f"{line}.")
    return "\n".join(lines)


def other_load(part: Part) -> str:
    """A line on the load of other programs."""
    text = f"other programs used {max(part.other_load, default=0):.0%} of the machine at most"
    left_out = f" (rounds left out, as they used more: {part.left_out})" if part.left_out else ""
    return text + left_out


def _ratio(part: Part, row: Row, server: str, divisor: str) -> str:
    above, below = part.of(row.key, server), part.of(row.key, divisor)
    found, ends = ratio(above, below), span(above, below)
    if found is None:
        return NONE
    return short(found) + (f" ({short(ends[0])} to {short(ends[1])})" if ends else "")


def _cells(found: Verdict | None) -> list[str]:
    return ["", ""] if found is None else [found.text, "yes" if found.met else "**no**"]
