"""Rounds: each measure goes once around the servers, which take turns in beginning."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from .measures import Measure
from .others import watching
from .results import PINNED, UNPINNED, Found, Part
from .servers import Server, Start, running
from .stats import turned
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, PLAIN, STDIO, WORKER

#: Which servers are compared under which conditions; `plain` only when it is asked for.
SERVERS: Final[Mapping[str, Sequence[str]]] = {
    PINNED: (INPROCESS, PLAIN, PEER, AIOHTTP, STDIO, FLOOR),
    UNPINNED: (WORKER, PEER),
}


class Failed(Exception):
    """A measurement went wrong; the text says which, at which server."""


def one_round(
    part: Part, starts: Mapping[str, Start], wanted: Mapping[str, Measure], *, turn: int, pin: bool
) -> None:
    """Fresh servers, every measure. Raises `CannotServe` and `Failed`."""
    cores = sorted(os.sched_getaffinity(0))
    with (
        watching(part.others),
        tempfile.TemporaryDirectory(prefix="bench-") as place,
        _staying(cores),
    ):
        os.sched_setaffinity(0, cores[-1:] if pin else cores)  # Children stay where they begin.
        with running(starts, Path(place)) as servers:
            os.sched_setaffinity(0, cores[:1] if pin else cores)
            for index, (key, measure) in enumerate(wanted.items()):
                for name in turned(list(servers), turn + index):
                    if measure.for_pipe or not servers[name].is_pipe:
                        part.add(name, _found(key, measure, name, servers[name]))


def _found(key: str, measure: Measure, name: str, server: Server) -> Found:
    try:
        found: Found = run(measure.run(server))
    except (OSError, ValueError) as error:
        raise Failed(f"{key} of {name} failed: {type(error).__name__}: {error}") from error
    return found


@contextlib.contextmanager
def _staying(cores: Sequence[int]) -> Iterator[None]:
    try:
        yield
    finally:
        os.sched_setaffinity(0, cores)


def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """On a loop of its own, uvloop's where it is installed: the client should cost little."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(coroutine)
    return uvloop.run(coroutine)
