"""`python -m bench.scale`: thousands of clients on one server, and what each of them costs.

First idle ones, up to `--idle`, on one server: how long they take to attach, memory and CPU
with the default pings, and how quickly one more client and /health are answered among them.
Then busy ones, each with a session that streams and a request a second; at last busy ones
among idle ones. What grows linearly costs the same per client on every line of a table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import multiprocessing
import resource
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from .many import busy_among_idle, busy_steps, idle, turns_alone
from .servers import Server
from .starters import before_stub
from .tables import Row, table_of
from .targets import INPROCESS, WORKER

MAX_CLIENTS: Final = 5000


@contextlib.contextmanager
def serving(backend: str) -> Iterator[Server]:
    """One of ours, which takes so many from one address."""
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        server = before_stub(None)[backend](Path(place))
        try:
            yield server
        finally:
            server.stop()
            if "Traceback" in (log := (Path(place) / "log").read_text()):
                print(log[-4000:], file=sys.stderr)


def raise_descriptors(wanted: int) -> None:
    """For this process and the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"{wanted} descriptors are needed; the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def _steps(most: int, parts: tuple[float, ...]) -> list[int]:
    return sorted({max(1, round(most * part)) for part in parts})


def main() -> None:
    """Measure what the command line says."""
    options = _parser().parse_args()
    raise_descriptors(2 * options.idle + 1000)
    idle_steps = _steps(options.idle, (0.1, 0.2, 0.5, 1))
    busy_only = _steps(options.busy, (0.1, 0.25, 0.5, 1))
    context = multiprocessing.get_context("spawn")
    tables: list[list[Row]] = []

    def run(act: Callable[[Server], Coroutine[Any, Any, list[list[Row]]]]) -> None:
        with serving(options.backend) as server:
            tables.extend(asyncio.run(act(server)))

    gc.disable()  # A pause of ours would be measured as the server's.
    if "idle" in options.only:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            run(lambda server: idle(server, idle_steps, pool))
    if "busy" in options.only:
        run(lambda server: busy_steps(server, busy_only))
    if "turns" in options.only:
        run(lambda server: turns_alone(server, options.busy))
    if "both" in options.only:
        run(lambda server: busy_among_idle(server, options.busy, options.idle))
    print("\n\n".join(map(table_of, tables)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parts = ["idle", "busy", "turns", "both"]
    parser.add_argument("--idle", type=_count, default=MAX_CLIENTS, metavar="N")
    parser.add_argument("--busy", type=_count, default=500, metavar="N")
    parser.add_argument("--backend", choices=[WORKER, INPROCESS], default="worker")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART",
                        help=f"some of it: {', '.join(parts)}")  # fmt: skip
    return parser


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_CLIENTS}")
    return value


if __name__ == "__main__":
    main()
