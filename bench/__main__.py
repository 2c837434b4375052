"""`python -m bench`: measure all servers in turns; medians and ratios as Markdown, and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from . import figures, machine, report
from .measurements import MEASUREMENTS
from .real_hermes import measure_real
from .results import PINNED, REAL, UNPINNED, Part, Results
from .rounds import one_round, quiet_rounds
from .servers import ROOT, Start, before_hermes, before_stub
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, PLAIN, STDIO, WORKER

MAX_ROUNDS: Final = 50
#: The servers of each part; `plain` only when it is asked for.
SERVERS: Final[Mapping[str, Sequence[str]]] = {
    PINNED: (INPROCESS, PLAIN, PEER, AIOHTTP, STDIO, FLOOR),
    UNPINNED: (WORKER, PEER),
    REAL: (WORKER, INPROCESS, PEER),
}
SERVER_NAMES: Final = list(dict.fromkeys(name for names in SERVERS.values() for name in names))
DOCS: Final = ROOT / "docs"


def main() -> None:
    """Measure what the command line says, and show or write the results."""
    options = _parser().parse_args()
    if options.render is not None:
        results = Results.load(options.render)
    else:
        results = _measure(options)
        if options.keep is not None:
            results.save(options.keep)
    print(report.tables(results))
    if (
        options.write
        and set(SERVERS) <= set(results.parts)
        and not (options.only or options.server)
    ):
        _write(results)
    elif options.write:
        print("Not written: the page needs a whole run.", file=sys.stderr)


def _write(results: Results) -> None:
    (DOCS / "benchmarks.md").write_text(report.page(results), encoding="utf-8")
    for name, draw in (("latency", figures.latency), ("cost", figures.cost)):
        path = DOCS / "images" / f"bench-{name}.svg"
        path.write_text(figures.svg(draw(results)), encoding="utf-8")


def _measure(options: argparse.Namespace) -> Results:
    """All parts that are wanted."""
    results = Results(options.rounds, machine.describe(options.peer_python))
    with_real = options.peer_python is not None and not options.only
    for name in options.part or (SERVERS if with_real else (PINNED, UNPINNED)):
        if name != REAL:
            starts = before_stub(options.peer_python)
        elif options.peer_python is not None:
            starts = before_hermes(options.peer_python, options.gateway_python)
        else:
            sys.exit("--part real needs --peer-python, the Python of a Hermes environment.")
        wanted = options.server or [each for each in SERVER_NAMES if each != PLAIN]
        chosen = {each: starts[each] for each in SERVERS[name] if each in starts and each in wanted}
        if chosen:
            results.parts[name] = _part(name, chosen, options)
    return results


def _part(name: str, starts: Mapping[str, Start], options: argparse.Namespace) -> Part:
    """All rounds of one part."""
    if name == REAL:
        print(f"{name}, {options.rounds} rounds", file=sys.stderr)
        part = Part(list(starts))
        measure_real(part, starts, options.rounds)
        return part
    wanted = {
        key: each
        for key, each in MEASUREMENTS.items()
        if name in each.parts and (not options.only or key in options.only)
    }

    def measure(part: Part, turn: int) -> None:
        print(f"{name}, round {turn + 1}", file=sys.stderr)
        one_round(part, starts, wanted, turn=turn, pin=name == PINNED)

    return quiet_rounds(list(starts), options.rounds, measure)


# fmt: off
def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--rounds", type=int, default=5, choices=range(1, MAX_ROUNDS + 1), metavar="N",
        help="how often everything is measured (default: 5)")
    add("--peer-python", type=_python, metavar="PYTHON",
        help="Python of a Hermes environment: for P1, P3, our worker, and a real Hermes")
    add("--gateway-python", type=_python, metavar="PYTHON",
        help="Python with Hermes and what this project needs: a real Hermes in our process")
    add("--part", action="append", choices=[*SERVERS], metavar="NAME",
        help=f"only this part, repeatable: {', '.join(SERVERS)}")
    add("--only", action="append", choices=[*MEASUREMENTS], metavar="NAME",
        help=f"only this measurement, repeatable: {', '.join(MEASUREMENTS)}")
    add("--server", action="append", choices=SERVER_NAMES, metavar="NAME",
        help=f"only this server, repeatable: {', '.join(SERVER_NAMES)}")
    add("--keep", type=Path, metavar="FILE", help="write every value and sample as JSON")
    add("--render", type=Path, metavar="FILE", help="measure nothing, show what was kept")
    add("--write", action="store_true", help="write docs/benchmarks.md and its figures")
    return parser
# fmt: on


def _python(text: str) -> Path:
    path = Path(text).absolute()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text}; `make bench` makes it")
    return path


if __name__ == "__main__":
    main()
