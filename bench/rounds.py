"""Rounds: each measurement goes once around the servers, beginning with another one each time.

A round in which other programs used much of the machine is measured again.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .machine import measuring_other_load
from .measurements import Measurement
from .results import Part
from .servers import Start, running
from .stats import rotated

#: Share of the machine that other programs may use in a round that counts.
QUIET: Final = 0.1


def one_round(
    part: Part,
    starts: Mapping[str, Start],
    wanted: Mapping[str, Measurement],
    *,
    turn: int,
    pin: bool,
) -> None:
    """Start all servers and make all measurements.

    With *pin* the servers run on the last core and the client on the first.
    """
    cores = sorted(os.sched_getaffinity(0))
    try:
        with (
            measuring_other_load(part.other_load),
            tempfile.TemporaryDirectory(prefix="bench-") as place,
        ):
            os.sched_setaffinity(0, cores[-1:] if pin else cores)  # Children inherit it.
            with running(starts, Path(place)) as servers:
                os.sched_setaffinity(0, cores[:1] if pin else cores)
                for index, (key, each) in enumerate(wanted.items()):
                    for name in rotated(list(servers), turn + index):
                        if each.on_pipe or not servers[name].is_pipe:
                            print(f"- {key} of {name}", file=sys.stderr)
                            part.add(name, run(each.measure(servers[name])))
    finally:
        os.sched_setaffinity(0, cores)


def quiet_rounds(servers: Sequence[str], rounds: int, measure: Callable[[Part, int], None]) -> Part:
    """The *rounds* in which other programs used least, of at most twice as many.

    Rounds are added until enough of them are quiet. Which count is decided by the other load
    alone, never by what was found.
    """
    made: list[Part] = []
    while len(made) < 2 * rounds and sum(_load(part) <= QUIET for part in made) < rounds:
        made.append(Part(list(servers)))
        measure(made[-1], len(made) - 1)
    counted = sorted(range(len(made)), key=lambda turn: _load(made[turn]))[:rounds]
    whole = Part(list(servers), left_out=len(made) - rounds)
    for turn in sorted(counted):
        whole.extend(made[turn])
    return whole


def _load(part: Part) -> float:
    return part.other_load[-1]


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run it on a new event loop; uvloop's if installed, so that the client costs little."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)
