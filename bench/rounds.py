"""Rounds: each measurement goes once around the servers, beginning with another one each time.

A round in which other programs used much of the machine is measured again.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .machine import other_load
from .measurements import Measurement
from .results import Found, Part, rotated
from .servers import Server
from .traffic import close_all

#: Share of the machine that other programs may use in a round that counts.
QUIET: Final = 0.1

#: Starts the server of that name, which keeps its files in that directory.
Start = Callable[[str, Path], Server]
#: The load of other programs in one round, and what was found, by server.
Round = tuple[float, dict[str, Found]]


def one_round(
    start: Start, names: list[str], wanted: dict[str, Measurement], turn: int, pin: bool
) -> Round:
    """Start all servers and make all measurements.

    With *pin* the servers run on the last core and the client on the first.
    """
    import uvloop  # With it the client costs little; tests do not need it.

    cores = sorted(os.sched_getaffinity(0))
    found: dict[str, Found] = {name: {} for name in names}
    share = other_load()
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        stack.callback(os.sched_setaffinity, 0, cores)
        servers = {}
        os.sched_setaffinity(0, cores[-1:] if pin else cores)  # Children inherit it.
        for name in names:
            servers[name] = start(name, place / name)
            stack.callback(servers[name].stop)
        os.sched_setaffinity(0, cores[:1] if pin else cores)
        for index, (key, measurement) in enumerate(wanted.items()):
            for name in rotated(names, turn + index):
                if servers[name].port or measurement.clients == 1:
                    print(f"- {key} of {name}", file=sys.stderr)
                    found[name] |= uvloop.run(_measure(servers[name], measurement))
    return share(), found


async def _measure(server: Server, measurement: Measurement) -> Found:
    clients = [await server.connect() for _ in range(measurement.clients)]
    found = await measurement.measure(server, *clients)
    await close_all(clients)
    return found


def quiet_rounds(names: list[str], rounds: int, measure: Callable[[int], Round]) -> Part:
    """Return the *rounds* in which other programs used least, of at most twice as many.

    Rounds are added until enough of them are quiet. Which count is decided by the other load
    alone, never by what was found.
    """
    made: list[Round] = []
    while len(made) < 2 * rounds and sum(load <= QUIET for load, _ in made) < rounds:
        made.append(measure(len(made)))
    quietest = sorted(range(len(made)), key=lambda turn: made[turn][0])[:rounds]
    loads, found = zip(*(made[turn] for turn in sorted(quietest)), strict=True)
    return Part(names, list(found), list(loads), left_out=len(made) - rounds)
