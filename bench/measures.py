"""The measurements. Each takes a running server and finds values and samples.

Bounded in count, and each wait in time: a whole round takes some seconds per server.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from . import answers, crowds, streams
from .client import close_all
from .results import PINNED, UNPINNED, Found
from .servers import Server
from .stats import percentile
from .talk import request
from .traffic import health, repeat

Run = Callable[[Server], Coroutine[Any, Any, Found]]


@dataclass(frozen=True)
class Measure:
    """One of them."""

    run: Run
    for_pipe: bool = False
    """Whether a server with one client can be measured."""
    parts: tuple[str, ...] = (PINNED, UNPINNED)


def measures(hold: float) -> dict[str, Measure]:
    """In the order in which they run.

    Memory comes while the server is fresh, and last what changes the stub's thread switch
    interval for good. *hold* is for how many seconds the GIL is held.
    """

    async def held(server: Server) -> Found:
        return await beside_held_gil(server, hold)

    return {
        "crowd": Measure(crowds.crowd),
        "round_trip": Measure(answers.round_trip, for_pipe=True),
        "pooled": Measure(answers.pooled, for_pipe=True),
        "requests_1": Measure(answers.requests_1, for_pipe=True),
        "requests_50": Measure(answers.requests_50),
        "paced": Measure(streams.paced, for_pipe=True),
        "events_1": Measure(streams.events_1, for_pipe=True),
        "events_20": Measure(streams.events_20),
        "large": Measure(answers.large, for_pipe=True),
        "handshakes": Measure(crowds.handshakes),
        "beside_stuck": Measure(streams.beside_stuck),
        "burn": Measure(answers.burn),
        "held": Measure(held, parts=(UNPINNED,)),
    }


async def beside_held_gil(server: Server, seconds: float) -> Found:
    """/health and a WebSocket ping while a thread of Hermes keeps the interpreter."""
    busy, other = await server.connect_many(2)
    busy.expect(1)
    busy.send(request("burn", {"seconds": seconds, "hold": True}))
    await asyncio.sleep(0.05)
    until = time.perf_counter() + seconds - 0.2
    pings, pages = await asyncio.gather(
        repeat(other.ping, until), repeat(lambda: health(server.port), until)
    )
    await busy.finished()
    await close_all([busy, other])
    return Found(
        {
            "held_health": percentile(pages, 99) * 1e3,
            "held_ping": percentile(pings, 99) * 1e3,
        }
    )
