"""`python -m bench`: all servers in turns, medians and ratios as Markdown, and figures."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from . import figures, machine, report
from .measures import measures
from .others import quiet_rounds
from .real import measure_real
from .results import PINNED, REAL, UNPINNED, Part, Results
from .rounds import SERVERS, Failed, one_round
from .servers import ROOT, CannotServe, Start
from .starters import before_hermes, before_stub
from .targets import INPROCESS, PEER, PLAIN, WORKER

MAX_ROUNDS: Final = 50
MAX_HOLD: Final = 20.0
PARTS: Final = (PINNED, UNPINNED, REAL)
SERVER_NAMES: Final = list(dict.fromkeys(name for part in SERVERS.values() for name in part))
DOCS: Final = ROOT / "docs"


def main() -> None:
    """Measure what the command line says, and show or write what was found."""
    options = _parser().parse_args()
    if options.render is not None:
        results = Results.load(options.render)
    else:
        try:
            results = _measure(options)
        except CannotServe as cannot:
            sys.exit(f"a server did not start: {cannot}")
        except Failed as failed:
            sys.exit(str(failed))
        if options.keep is not None:
            results.save(options.keep)
    print(report.tables(results))
    if options.write and set(PARTS) <= set(results.parts) and not (options.only or options.server):
        _write(results)
    elif options.write:
        print("Not written: the page needs a whole run.", file=sys.stderr)


def _write(results: Results) -> None:
    (DOCS / "benchmarks.md").write_text(report.page(results), encoding="utf-8")
    for name, draw in (("latency", figures.latency), ("cost", figures.cost)):
        path = DOCS / "images" / f"bench-{name}.svg"
        path.write_text(draw(results), encoding="utf-8")


def _measure(options: argparse.Namespace) -> Results:
    """All that is wanted. Raises `CannotServe` and `Failed`."""
    results = Results(options.rounds, options.hold, machine.describe(options.peer_python))
    starts = before_stub(options.peer_python)
    with_real = options.peer_python is not None and not options.only
    wanted = options.part or (PARTS if with_real else (PINNED, UNPINNED))
    for name in (PINNED, UNPINNED):
        servers = _chosen(SERVERS[name], starts, options)
        if name in wanted and servers:
            own = {server: starts[server] for server in servers}
            results.parts[name] = _before_stub(name, own, options)
    if REAL in wanted:
        if options.peer_python is None:
            sys.exit("--part real needs --peer-python, the Python of a Hermes environment.")
        starts = before_hermes(options.peer_python, options.gateway_python)
        servers = _chosen((WORKER, INPROCESS, PEER), starts, options)
        part = results.parts[REAL] = Part(servers)
        print(f"{REAL}, {options.rounds} rounds", file=sys.stderr)
        measure_real(part, {server: starts[server] for server in servers}, options.rounds)
    return results


def _before_stub(name: str, starts: Mapping[str, Start], options: argparse.Namespace) -> Part:
    """All rounds under one of the conditions. Raises `CannotServe` and `Failed`."""
    chosen = {
        key: measure
        for key, measure in measures(options.hold).items()
        if name in measure.parts and (not options.only or key in options.only)
    }

    def measure(part: Part, turn: int) -> None:
        print(f"{name}, round {turn + 1}", file=sys.stderr)
        one_round(part, starts, chosen, turn=turn, pin=name == PINNED)

    return quiet_rounds(list(starts), options.rounds, measure)


def _chosen(
    names: Sequence[str], starts: Mapping[str, Start], options: argparse.Namespace
) -> list[str]:
    """Those that can be started and are wanted; `plain` only when it is asked for."""
    wanted = options.server or [name for name in names if name != PLAIN or options.plain]
    return [name for name in names if name in starts and name in wanted]


def _parser() -> argparse.ArgumentParser:
    table = measures(0)
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add(
        "--rounds",
        type=int,
        default=5,
        choices=range(1, MAX_ROUNDS + 1),
        metavar="N",
        help="how often everything is measured (default: 5)",
    )
    add(
        "--peer-python",
        type=_python,
        metavar="PYTHON",
        help="Python of a Hermes environment: for P1, P3, our worker, and a real Hermes",
    )
    add(
        "--gateway-python",
        type=_python,
        metavar="PYTHON",
        help="Python with Hermes and what this project needs: a real Hermes in our process",
    )
    add(
        "--part",
        action="append",
        choices=PARTS,
        help=f"only this part of the run, repeatable: {', '.join(PARTS)}",
    )
    add(
        "--only",
        action="append",
        choices=table,
        metavar="NAME",
        help=f"measure only this, repeatable: {', '.join(table)}",
    )
    add(
        "--server",
        action="append",
        choices=SERVER_NAMES,
        metavar="NAME",
        help=f"measure only this server, repeatable: {', '.join(SERVER_NAMES)}",
    )
    add(
        "--plain",
        action="store_true",
        help="also ours in-process without orjson and Autobahn's native code",
    )
    add(
        "--hold",
        type=_hold,
        default=2.0,
        metavar="SECONDS",
        help="how long a thread of Hermes holds the GIL (default: 2)",
    )
    add("--keep", type=Path, metavar="FILE", help="write every value and sample as JSON")
    add("--render", type=Path, metavar="FILE", help="measure nothing, show what was kept")
    add("--write", action="store_true", help="write docs/benchmarks.md and its figures")
    return parser


def _python(text: str) -> Path:
    path = Path(text).absolute()
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text}; `make bench` makes it")
    return path


def _hold(text: str) -> float:
    seconds = float(text)
    if not 0.5 <= seconds <= MAX_HOLD:
        raise argparse.ArgumentTypeError(f"takes 0.5 to {MAX_HOLD:g} seconds")
    return seconds


if __name__ == "__main__":
    main()
