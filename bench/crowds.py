"""Measurements of many clients, and of clients that come and go."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from . import procfs
from .client import close_all
from .results import Found
from .servers import Server
from .traffic import ping_in_turn

CROWD: Final = 1000


async def crowd(server: Server, pinged: float = 2.0) -> Found:
    """A thousand clients come, stay idle, and are kept known by a ping each a second.

    All servers are pinged by the clients, at the same rate, so that they do the same.
    """
    await close_all(await server.connect_many(20))  # First uses load modules.
    await asyncio.sleep(0.2)
    before = procfs.memory(server.pids)
    began = time.perf_counter()
    clients = await server.connect_many(CROWD, at_once=32)
    accepted = time.perf_counter() - began
    await asyncio.sleep(0.3)
    grown = procfs.memory(server.pids) - before
    spent = procfs.cpu_seconds(server.pids)
    await ping_in_turn(clients, pinged, interval=1.0)
    spent = procfs.cpu_seconds(server.pids) - spent
    await close_all(clients)
    await asyncio.sleep(0.3)
    return Found(
        {
            "accept_s": accepted,
            "idle_memory": grown / CROWD / 1024,
            "idle_cpu": spent / pinged * 100,
        }
    )


async def handshakes(server: Server, count: int = 300) -> Found:
    """Connections until their `gateway.ready`, and gone again."""
    before, began = procfs.cpu_seconds(server.pids), time.perf_counter()
    for _ in range(0, count, 10):
        await close_all(await server.connect_many(10, at_once=10))
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)  # What a goodbye costs counts, too.
    spent = procfs.cpu_seconds(server.pids) - before
    return Found({"handshakes": count / elapsed, "handshake_cpu": spent / count * 1e6})
