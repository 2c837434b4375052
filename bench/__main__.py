"""`python -m bench`: all servers in turns, medians and ratios as Markdown, and figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Final

from .measures import PINNED, UNPINNED, Measure, measures
from .results import Part, Results
from .rounds import SERVERS, one_round
from .servers import CannotServe
from .starters import before_stub
from .targets import PLAIN

MAX_ROUNDS: Final = 50


def main() -> None:
    """Measure what the command line says."""
    import json

    hermes = Path(sys.argv[1])
    table = measures(2.0)
    only = sys.argv[2:]
    starts = before_stub(hermes)
    for name in (PINNED, UNPINNED):
        part = Part([s for s in SERVERS[name] if s in starts and s != PLAIN])
        wanted = {k: m for k, m in table.items() if name in m.parts and (not only or k in only)}
        import time

        began = time.time()
        one_round(part, {s: starts[s] for s in part.servers}, wanted, turn=0, pin=name == PINNED)
        print(name, time.time() - began)
        for key, row in part.values.items():
            print(f"{key:20}", {s: round(v[0], 3) for s, v in row.items()})


if __name__ == "__main__":
    main()
