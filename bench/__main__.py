"""`python -m bench`: rounds interleaved between the servers, medians as a Markdown table."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Final

from .measures import MEASURES
from .servers import PEER, CannotServe, Server, Start, running, starters

MAX_ROUNDS: Final = 50

#: Every round's value, by row and server.
Table = defaultdict[str, defaultdict[str, list[float]]]


def main() -> None:
    """Measure what the command line says."""
    options = _parser().parse_args()
    names = options.only or list(MEASURES)
    starts = starters(options.peer_python)
    if options.server:
        starts = {name: start for name, start in starts.items() if name in options.server}
    table: Table = defaultdict(lambda: defaultdict(list))
    try:
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr)
            _round(starts, names, table, turn=number, pin=options.pin)
    except CannotServe as cannot:
        sys.exit(f"a server did not start: {cannot}")
    print(render(table, list(starts)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rounds",
        type=int,
        default=5,
        choices=range(1, MAX_ROUNDS + 1),
        metavar="N",
        help="how often everything is measured (default: 5)",
    )
    parser.add_argument(
        "--peer-python",
        type=Path,
        metavar="PYTHON",
        help="Python of a Hermes environment: measures its own server, too",
    )
    parser.add_argument(
        "--only",
        action="append",
        choices=MEASURES,
        metavar="NAME",
        help=f"measure only this, repeatable: {', '.join(MEASURES)}",
    )
    parser.add_argument(
        "--server",
        action="append",
        metavar="NAME",
        help="measure only this server, repeatable: worker, inprocess, P1",
    )
    parser.add_argument(
        "--pin", action="store_true", help="keep the client on one core and the servers on another"
    )
    return parser  # fmt: skip


def _round(
    starts: Mapping[str, Start], names: Sequence[str], table: Table, *, turn: int, pin: bool
) -> None:
    """Fresh servers; each measure goes once around them, beginning with another each time."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        _pin(cores[-1:] if pin else cores)  # Children stay where they begin.
        with running(starts, Path(place)) as servers:
            _pin(cores[:1] if pin else cores)
            order = list(servers)
            for index, name in enumerate(names):
                first = (turn + index) % len(order)
                for server in order[first:] + order[:first]:
                    asyncio.run(_measure(name, server, servers[server], table))
    _pin(cores)


def _pin(cores: Sequence[int]) -> None:
    os.sched_setaffinity(0, cores)


async def _measure(name: str, label: str, server: Server, table: Table) -> None:
    for row, value in (await MEASURES[name](server)).items():
        table[row][label].append(value)


def render(table: Table, servers: Sequence[str]) -> str:
    """The medians, and each of our servers divided by the peer."""
    ours = [name for name in servers if name != PEER] if PEER in servers else []
    columns = ["Metric", *servers, *(f"{name} ÷ {PEER}" for name in ours)]
    lines = [_row(columns), _row(["---", *["---:"] * (len(columns) - 1)])]
    for metric, values in table.items():
        medians = {name: median(values[name]) for name in servers}
        ratios = [_number(medians[name] / medians[PEER]) if medians[PEER] else "-" for name in ours]
        lines.append(_row([metric, *map(_number, medians.values()), *ratios]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    """Three digits that count."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
