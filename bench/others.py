"""How busy everybody else kept the machine: a run beside other work says little."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .results import Part

_TICK: Final = os.sysconf("SC_CLK_TCK")
#: Columns of /proc/stat that are idleness: idle and iowait. Guests count in user time already.
_IDLE: Final = (3, 4)
_COLUMNS: Final = 8
#: Share of the machine that others may use in a round that counts.
QUIET: Final = 0.1


@dataclass(frozen=True)
class Moment:
    """CPU seconds that had been used until then, of all cores."""

    at: float
    by_all: float
    by_us: float
    """This process, and its children that have ended."""

    @classmethod
    def now(cls) -> Moment:
        """Ask the kernel."""
        line = Path("/proc/stat").read_text(encoding="ascii").partition("\n")[0]
        return cls(time.monotonic(), busy(line) / _TICK, sum(os.times()[:4]))


def busy(line: str) -> int:
    """Ticks in which the cores did something, of the first line of /proc/stat."""
    ticks = [int(text) for text in line.split()[1 : _COLUMNS + 1]]
    return sum(count for column, count in enumerate(ticks) if column not in _IDLE)


def share(before: Moment, after: Moment, cores: int) -> float:
    """What others used of *cores* between two moments, from 0 to 1."""
    used = (after.by_all - before.by_all) - (after.by_us - before.by_us)
    return min(1.0, max(0.0, used / ((after.at - before.at) * cores)))


@contextlib.contextmanager
def watching(shares: list[float]) -> Iterator[None]:
    """Add the others' share of the time within. All children should have ended then."""
    before = Moment.now()
    yield
    shares.append(share(before, Moment.now(), os.cpu_count() or 1))


def quiet_rounds(servers: Sequence[str], rounds: int, measure: Callable[[Part, int], None]) -> Part:
    """*rounds* in which other programs used little of the machine, as far as there are such.

    Further ones replace those that were disturbed, up to as many again. Which count is decided
    by the others' share alone, never by what was found.
    """
    made: list[Part] = []
    while len(made) < 2 * rounds and sum(_is_quiet(part) for part in made) < rounds:
        made.append(Part(list(servers)))
        measure(made[-1], len(made) - 1)
    chosen = sorted(range(len(made)), key=lambda turn: made[turn].others[-1])[:rounds]
    whole = Part(list(servers), left_out=len(made) - rounds)
    for turn in sorted(chosen):
        whole.take(made[turn])
    return whole


def _is_quiet(part: Part) -> bool:
    return part.others[-1] <= QUIET
