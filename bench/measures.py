"""The measurements. Each takes a running server and returns values by their row's name.

Bounded in count, and each wait in time: a whole round takes a few seconds per server.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from picows import WSFrame

from . import procfs
from .client import close_all, connect, connect_many, request
from .traffic import flood, health, percentile, pipelines, repeat, round_trips

Values = dict[str, float]

MB: Final = 1024 * 1024


class Target(Protocol):
    """A server that runs."""

    @property
    def url(self) -> str:
        """Where a client attaches, key included."""

    @property
    def port(self) -> int:
        """The port on 127.0.0.1, for /health."""

    @property
    def pids(self) -> list[int]:
        """All its processes."""


async def idle_memory(target: Target, count: int = 500) -> Values:
    """Memory that an idle client costs, in all of the server's processes."""
    await close_all(await connect_many(target.url, 20))  # First uses load modules.
    await asyncio.sleep(0.2)
    before = procfs.memory(target.pids)
    clients = await connect_many(target.url, count)
    await asyncio.sleep(0.2)
    grown = procfs.memory(target.pids) - before
    await close_all(clients)
    return {"memory per idle client, KiB": grown / count / 1024}


async def round_trip(target: Target, count: int = 1000) -> Values:
    """A small request that Hermes answers at once."""
    times = await round_trips(target.url, "echo", count)
    return {
        "round trip, p50 µs": percentile(times, 50) * 1e6,
        "round trip, p90 µs": percentile(times, 90) * 1e6,
    }


async def pooled(target: Target, count: int = 1000) -> Values:
    """A small request that Hermes answers from its pool of threads."""
    times = await round_trips(target.url, "long.echo", count)
    return {
        "pooled round trip, p50 µs": percentile(times, 50) * 1e6,
        "pooled round trip, p90 µs": percentile(times, 90) * 1e6,
    }


async def pipelined(target: Target, count: int = 8192) -> Values:
    """One client that keeps up to 128 requests under way."""
    client = await connect(target.url)
    seconds = await pipelines([client], count, lot=64)
    await client.close()
    return {"pipelined requests/s, 1 client": count / seconds}


async def pipelined_many(target: Target, clients: int = 50, count: int = 256) -> Values:
    """Fifty clients with up to 16 requests each under way."""
    attached = await connect_many(target.url, clients)
    seconds = await pipelines(attached, count, lot=8)
    await close_all(attached)
    return {f"pipelined requests/s, {clients} clients": clients * count / seconds}


async def event_latency(target: Target, rate: int = 200, seconds: float = 1.0) -> Values:
    """From the moment a turn emits a token to its frame's arrival, at a brisk model's pace."""
    client = await connect(target.url)
    session = (await client.call("session.create", {}))["session_id"]
    times: list[float] = []

    def hear(frame: WSFrame) -> None:
        now = time.monotonic()
        text = frame.get_payload_as_bytes()
        if b'"message.delta"' in text:
            times.append(now - json.loads(text)["params"]["payload"]["t"])
        elif b'"message.complete"' in text:
            client.finish()

    client.listen(hear)
    count = round(rate * seconds)
    client.send(request("stream", {"session_id": session, "count": count, "rate": rate}))
    await client.finished()
    await client.close()
    return {
        f"event latency at {rate}/s, p50 µs": percentile(times, 50) * 1e6,
        f"event latency at {rate}/s, p99 µs": percentile(times, 99) * 1e6,
    }


async def events(target: Target, count: int = 30_000) -> Values:
    """One session that emits as fast as it can."""
    client = await connect(target.url)
    seconds = await flood([client], count)
    await client.close()
    return {"events/s, 1 session": count / seconds}


async def events_many(target: Target, clients: int = 20, count: int = 2000) -> Values:
    """Twenty clients, a session each, that emit as fast as they can."""
    attached = await connect_many(target.url, clients)
    before = procfs.cpu_seconds(target.pids)
    seconds = await flood(attached, count)
    spent = procfs.cpu_seconds(target.pids) - before
    await close_all(attached)
    total = clients * count
    return {
        f"events/s, {clients} sessions": total / seconds,
        f"server CPU per event, {clients} sessions, µs": spent / total * 1e6,
    }


async def large_frame(target: Target, size: int = 8 * MB) -> Values:
    """One answer of 8 MB: how long it takes, and how much more memory at its worst."""
    client = await connect(target.url)
    pids = target.pids
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
    return {
        "8 MB frame, ms": min(times) * 1e3,
        "8 MB frame, peak memory in frames": grown / size,
    }


async def handshakes(target: Target, count: int = 300) -> Values:
    """Connections until their `gateway.ready`, and gone again."""
    before, began = procfs.cpu_seconds(target.pids), time.perf_counter()
    for _ in range(0, count, 10):
        await close_all(await connect_many(target.url, 10, at_once=10))
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)  # What a goodbye costs counts, too.
    spent = procfs.cpu_seconds(target.pids) - before
    return {
        "handshakes/s": count / elapsed,
        "server CPU per handshake, µs": spent / count * 1e6,
    }


async def beside_computing(target: Target, seconds: float = 1.0) -> Values:
    """A round trip while one of Hermes' threads computes and lets others in when asked."""
    busy = await connect(target.url)
    busy.expect(1)
    busy.send(request("burn", {"seconds": seconds}))
    until = time.perf_counter() + seconds
    times = await round_trips(target.url, "echo", 50, until)
    await busy.finished()
    await busy.close()
    return {"round trip beside a computing thread, p50 µs": percentile(times, 50) * 1e6}


async def beside_held_gil(target: Target, seconds: float = 0.7) -> Values:
    """/health and a WebSocket ping while a thread of Hermes keeps the interpreter."""
    busy, other = await connect_many(target.url, 2)
    busy.expect(1)
    busy.send(request("burn", {"seconds": seconds, "hold": True}))
    await asyncio.sleep(0.05)
    until = time.perf_counter() + seconds - 0.2
    pings, pages = await asyncio.gather(
        repeat(other.ping, until), repeat(lambda: health(target.port), until)
    )
    await busy.finished()
    await close_all([busy, other])
    return {
        "/health while the GIL is held, p99 ms": percentile(pages, 99) * 1e3,
        "WebSocket ping while the GIL is held, p99 ms": percentile(pings, 99) * 1e3,
    }


Measure = Callable[[Target], Awaitable[Values]]

#: In the order in which they run: memory while the server is fresh; last those that
#: change the stub's thread switch interval for good.
MEASURES: Final[dict[str, Measure]] = {
    measure.__name__: measure
    for measure in (
        idle_memory,
        round_trip,
        pooled,
        pipelined,
        pipelined_many,
        event_latency,
        events,
        events_many,
        large_frame,
        handshakes,
        beside_computing,
        beside_held_gil,
    )
}
