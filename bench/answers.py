"""Measurements of requests and their answers."""

from __future__ import annotations

import asyncio
import time

from . import procfs
from .client import close_all
from .results import Found
from .servers import Server
from .stats import percentile
from .talk import request
from .traffic import PARAMS, pipelines, round_trips

MB = 1024 * 1024


async def round_trip(server: Server, count: int = 1000) -> Found:
    """A small request that Hermes answers at once."""
    return await _round_trip(server, "echo", "round_trip", count)


async def pooled(server: Server, count: int = 1000) -> Found:
    """A small request that Hermes answers from its pool of threads."""
    return await _round_trip(server, "long.echo", "pooled", count)


async def _round_trip(server: Server, method: str, key: str, count: int) -> Found:
    client = await server.connect()
    texts = [request(method, PARAMS) for _ in range(count + count // 10)]
    times = await round_trips(client, texts)
    await client.close()
    values = {f"{key}_p{share}": percentile(times, share) * 1e6 for share in (50, 90)}
    return Found(values, {key: times})


async def requests_1(server: Server, count: int = 8192) -> Found:
    """One client that keeps up to 128 requests under way."""
    client = await server.connect()
    seconds = await pipelines([client], count, lot=64)
    await client.close()
    return Found({"requests_1": count / seconds})


async def requests_50(server: Server, clients: int = 50, count: int = 256) -> Found:
    """Fifty clients with up to 16 requests each under way."""
    attached = await server.connect_many(clients)
    seconds = await pipelines(attached, count, lot=8)
    await close_all(attached)
    return Found({"requests_50": clients * count / seconds})


async def large(server: Server, size: int = 8 * MB) -> Found:
    """One answer of 8 MB: how long it takes, and how much more memory at its worst.

    The text itself, which Hermes makes, is not the server's: it is taken off.
    """
    client = await server.connect()
    pids = server.pids
    procfs.forget_peak(pids)
    before = procfs.resident(pids)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        client.expect(1)
        client.send(request("result.of_size", {"bytes": size}))
        await client.finished()
        times.append(time.perf_counter() - began)
    grown = procfs.peak(pids) - before
    await client.close()
    return Found({"large_ms": min(times) * 1e3, "large_peak": grown / size - 1})


async def burn(server: Server, seconds: float = 1.0) -> Found:
    """A round trip while one of Hermes' threads computes and lets others in when asked."""
    busy, client = await server.connect_many(2)
    busy.expect(1)
    busy.send(request("burn", {"seconds": seconds}))
    await asyncio.sleep(0.02)
    until = time.perf_counter() + seconds - 0.05
    texts = [request("echo", PARAMS) for _ in range(2000)]
    times = await round_trips(client, texts, until)
    await busy.finished()
    await close_all([busy, client])
    return Found({"burn_p50": percentile(times, 50) * 1e6})
