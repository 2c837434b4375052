"""Measurements of the events of turns."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Final

from . import procfs
from .client import close_all
from .results import Found
from .servers import Server
from .stats import percentile
from .talk import request
from .targets import PACE, RATES
from .traffic import event_delays, flood, open_session

#: Events a second of the turn whose terminal is stuck.
STUCK_PACE: Final = 50


async def paced(server: Server) -> Found:
    """One session at each rate: how late each token is, and what it costs the server."""
    found = Found()
    client = await server.connect()
    await event_delays(client, 1000, 20)
    for rate in RATES:
        count = max(rate, 50)
        before = procfs.cpu_seconds(server.pids)
        times = await event_delays(client, rate, count)
        spent = procfs.cpu_seconds(server.pids) - before
        found.values[f"paced_cpu_{rate}"] = spent / count * 1e6
        found.values[f"paced_p50_{rate}"] = percentile(times, 50) * 1e6
        if rate == PACE:
            found.values["event_p50"] = percentile(times, 50) * 1e6
            found.values["event_p99"] = percentile(times, 99) * 1e6
            found.samples["event"] = times
    await client.close()
    return found


async def events_1(server: Server, count: int = 30_000) -> Found:
    """One session that emits as fast as it can."""
    client = await server.connect()
    before = procfs.cpu_seconds(server.pids)
    seconds = await flood([client], count)
    spent = procfs.cpu_seconds(server.pids) - before
    await client.close()
    return Found({"events_1": count / seconds, "event_cpu_1": spent / count * 1e5})


async def events_20(server: Server, clients: int = 20, count: int = 2000) -> Found:
    """Twenty clients, a session each, that emit as fast as they can."""
    attached = await server.connect_many(clients)
    before = procfs.cpu_seconds(server.pids)
    seconds = await flood(attached, count)
    spent = procfs.cpu_seconds(server.pids) - before
    await close_all(attached)
    total = clients * count
    return Found({"events_20": total / seconds, "event_cpu_20": spent / total * 1e5})


async def beside_stuck(server: Server) -> Found:
    """A session's events alone, and again while another terminal reads nothing of its own.

    That one is behind by more than any kernel buffers, and its turn goes on.
    """
    healthy, stuck = await server.connect_many(2)
    alone = await event_delays(healthy, PACE, PACE)
    sessions = [await open_session(stuck) for _ in range(2)]
    stuck.stop_reading()
    much = {"session_id": sessions[0], "count": 3000, "text": "x" * 4096}
    more = {"session_id": sessions[1], "count": STUCK_PACE * 2, "rate": STUCK_PACE}
    stuck.send(request("stream", much))
    await asyncio.sleep(0.5)
    stuck.send(request("stream", more))
    beside = await event_delays(healthy, PACE, PACE)
    await close_all([healthy, stuck])
    return Found({"beside_stuck": median(beside) / median(alone)})
