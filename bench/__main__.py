"""`python -m bench`: measure all servers in turns; medians and ratios as Markdown, and report."""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from pathlib import Path
from typing import Final

import msgspec

from . import machine, report
from .measurements import MEASUREMENTS, time_model
from .results import PINNED, REAL, UNPINNED, Part, Results
from .rounds import Round, one_round, quiet_rounds
from .servers import ROOT, start
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, STDIO, WORKER

#: The servers of each part.
SERVERS: Final = {
    PINNED: (INPROCESS, PEER, AIOHTTP, STDIO, FLOOR),
    UNPINNED: (WORKER, PEER),
    REAL: (WORKER, INPROCESS, PEER),
}


def main() -> None:
    """Measure what the command line says, and show or write the results."""
    options = _parser().parse_args()
    if options.render:
        results = msgspec.json.decode(options.render.read_bytes(), type=Results)
    else:
        results = Results(options.rounds, machine.describe(options.peer_python))
        for name in options.part or SERVERS:
            if part := _measure(name, options):
                results.parts[name] = part
    if options.keep:
        options.keep.parent.mkdir(parents=True, exist_ok=True)
        options.keep.write_bytes(msgspec.json.encode(results))
    for name, text in report.tables(results).items():
        print(f"{name}\n\n{text}\n")
    if options.write and not (options.part or options.only or options.server):
        images = ROOT / "docs" / "images"
        (ROOT / "docs" / "benchmarks.md").write_text(report.page(results), encoding="utf-8")
        (images / "bench-latency.svg").write_text(report.latency_svg(results))
        (images / "bench-cost.svg").write_text(report.cost_svg(results))


def _measure(part: str, options: argparse.Namespace) -> Part | None:
    """Make the rounds of *part*; None if nothing in it is asked for."""
    servers = [name for name in SERVERS[part] if name in (options.server or SERVERS[part])]
    wanted = {
        key: measurement
        for key, measurement in MEASUREMENTS.items()
        if part in measurement.parts and key in (options.only or MEASUREMENTS)
    }
    if not servers or not wanted:
        return None
    with time_model() if part == REAL else contextlib.nullcontext("") as model:
        pythons = {"python": options.peer_python, "gateway": options.gateway_python}
        begin = functools.partial(start, **pythons, model=model)

        def measure(turn: int) -> Round:
            print(f"{part}, round {turn + 1}", file=sys.stderr)
            return one_round(begin, servers, wanted, turn, pin=part == PINNED)

        return quiet_rounds(servers, options.rounds, measure)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add, pythons = parser.add_argument, ROOT / ".hermes"
    add("--rounds", type=int, default=5, metavar="N", help="how often to measure (default: 5)")
    servers = [WORKER, *SERVERS[PINNED]]
    for option, choices in ("part", SERVERS), ("only", MEASUREMENTS), ("server", servers):
        text = f"only this, repeatable: {', '.join(choices)}"
        add(f"--{option}", action="append", choices=[*choices], metavar="NAME", help=text)
    text = "Python of a Hermes environment: for P1, P3 and our worker"
    add("--peer-python", type=Path, default=pythons / "0.19.0/bin/python", help=text)
    text = "Python with Hermes and what this project needs: for a real Hermes in our process"
    add("--gateway-python", type=Path, default=pythons / "gateway-0.19.0/bin/python", help=text)
    add("--keep", type=Path, metavar="FILE", help="write every value and sample as JSON")
    add("--render", type=Path, metavar="FILE", help="measure nothing, show what was kept")
    add("--write", action="store_true", help="write docs/benchmarks.md and its figures")
    return parser


if __name__ == "__main__":
    main()
