"""The measurements: each takes a running server and returns values and samples.

All are bounded in count, and all waits in time: a round takes some seconds per server. They run
in the order of this file: memory while the server is fresh, and last what changes the stub's
thread switch interval for good.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

from .clients import close_all, request
from .machine import cpu_timer, peak_growth, private_memory
from .results import PINNED, UNPINNED, Found
from .servers import Server
from .stats import percentile
from .targets import EVENT_RATE, RATES
from .traffic import (
    PARAMS,
    event_delays,
    flood,
    health,
    open_session,
    ping_in_turn,
    pipelines,
    repeat,
    round_trips,
)  # fmt: skip

MANY: Final = 1000
MB: Final = 1024 * 1024
#: Seconds for which a thread of Hermes holds the GIL.
GIL_HELD: Final = 2.0

Measure = Callable[[Server], Coroutine[Any, Any, Found]]


@dataclass(frozen=True)
class Measurement:
    """One measurement, and where it can be made."""

    measure: Measure
    on_pipe: bool
    """Whether a server with a single client can be measured."""
    parts: tuple[str, ...]


MEASUREMENTS: Final[dict[str, Measurement]] = {}


def measurement(
    *, on_pipe: bool = False, parts: tuple[str, ...] = (PINNED, UNPINNED)
) -> Callable[[Measure], Measure]:
    """Add a function to `MEASUREMENTS` under its own name."""

    def add(measure: Measure) -> Measure:
        MEASUREMENTS[measure.__name__] = Measurement(measure, on_pipe, parts)
        return measure

    return add


@measurement()
async def idle_clients(server: Server, pinged: float = 2.0) -> Found:
    """A thousand clients connect, stay idle, and send a ping each every second.

    The clients ping all servers at the same rate, so that all servers do the same.
    """
    await close_all(await server.connect_many(20))  # First uses load modules.
    await asyncio.sleep(0.2)
    before = private_memory(server.pids)
    began = time.perf_counter()
    clients = await server.connect_many(MANY, at_once=32)
    accepted = time.perf_counter() - began
    await asyncio.sleep(0.3)
    grown = private_memory(server.pids) - before
    cpu = cpu_timer(server.pids)
    await ping_in_turn(clients, pinged, interval=1.0)
    spent = cpu()
    await close_all(clients)
    await asyncio.sleep(0.3)
    memory, load = grown / MANY / 1024, spent / pinged * 100
    return {"accept_s": accepted, "idle_memory": memory, "idle_cpu": load}


@measurement(on_pipe=True)
async def round_trip(server: Server) -> Found:
    """A small request that Hermes answers at once."""
    return await _round_trip(server, "echo", "round_trip")


@measurement(on_pipe=True)
async def pool_round_trip(server: Server) -> Found:
    """A small request that Hermes answers from its pool of threads."""
    return await _round_trip(server, "long.echo", "pool_round_trip")


async def _round_trip(server: Server, method: str, key: str, count: int = 1000) -> Found:
    client = await server.connect()
    texts = [request(method, PARAMS) for _ in range(count + count // 10)]
    times = await round_trips(client, texts)
    await client.close()
    p50, p90 = (percentile(times, percent) * 1e6 for percent in (50, 90))
    return {f"{key}_p50": p50, f"{key}_p90": p90, key: times}


@measurement(on_pipe=True)
async def pipelined_1(server: Server, count: int = 8192) -> Found:
    """One client with up to 128 requests under way."""
    client = await server.connect()
    seconds = await pipelines([client], count, batch=64)
    await client.close()
    return {"pipelined_1": count / seconds}


@measurement()
async def pipelined_50(server: Server, count: int = 256) -> Found:
    """Fifty clients with up to 16 requests each under way."""
    clients = await server.connect_many(50)
    seconds = await pipelines(clients, count, batch=8)
    await close_all(clients)
    return {"pipelined_50": 50 * count / seconds}


@measurement(on_pipe=True)
async def event_latency(server: Server) -> Found:
    """One session at each rate: the latency of its tokens, and the server's CPU time for each."""
    found: Found = {}
    client = await server.connect()
    await event_delays(client, 1000, 20)
    for rate in RATES:
        count = max(rate, 50)
        cpu = cpu_timer(server.pids)
        times = await event_delays(client, rate, count)
        found[f"rate_cpu_{rate}"] = cpu() / count * 1e6
        found[f"rate_p50_{rate}"] = percentile(times, 50) * 1e6
        if rate == EVENT_RATE:
            found["event_p50"] = percentile(times, 50) * 1e6
            found["event_p99"] = percentile(times, 99) * 1e6
            found["event"] = times
    await client.close()
    return found


@measurement(on_pipe=True)
async def events_1(server: Server, count: int = 30_000) -> Found:
    """One session that emits as fast as it can."""
    client = await server.connect()
    cpu = cpu_timer(server.pids)
    seconds = await flood([client], count)
    spent = cpu()
    await client.close()
    return {"events_1": count / seconds, "event_cpu_1": spent / count * 1e5}


@measurement()
async def events_20(server: Server, count: int = 2000) -> Found:
    """Twenty clients with a session each that emits as fast as it can."""
    clients = await server.connect_many(20)
    cpu = cpu_timer(server.pids)
    seconds = await flood(clients, count)
    spent = cpu()
    await close_all(clients)
    return {"events_20": 20 * count / seconds, "event_cpu_20": spent / (20 * count) * 1e5}


@measurement(on_pipe=True)
async def large_answer(server: Server, size: int = 8 * MB) -> Found:
    """One answer of 8 MB: its time, and the server's peak memory.

    The text that Hermes itself makes is taken off the peak.
    """
    client = await server.connect()
    grown = peak_growth(server.pids)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        client.expect(1)
        client.send(request("result.of_size", {"bytes": size}))
        await client.finished()
        times.append(time.perf_counter() - began)
    peak = grown() / size - 1
    await client.close()
    return {"large_answer_ms": min(times) * 1e3, "large_answer_peak": peak}


@measurement()
async def handshakes(server: Server, count: int = 300) -> Found:
    """Clients that connect, receive their `gateway.ready`, and disconnect."""
    cpu, began = cpu_timer(server.pids), time.perf_counter()
    for _ in range(0, count, 10):
        await close_all(await server.connect_many(10, at_once=10))
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)  # The end of a connection counts, too.
    return {"handshakes": count / elapsed, "handshake_cpu": cpu() / count * 1e6}


@measurement()
async def slow_client(server: Server, slow_rate: int = 50) -> Found:
    """A client's event latency beside another one that reads nothing, divided by that alone.

    The other one is behind by more than any kernel buffers, and its turn goes on.
    """
    healthy, stuck = await server.connect_many(2)
    alone = await event_delays(healthy, EVENT_RATE, EVENT_RATE)
    sessions = [await open_session(stuck) for _ in range(2)]
    stuck.stop_reading()
    much = {"session_id": sessions[0], "count": 3000, "text": "x" * 4096}
    stuck.send(request("stream", much))
    await asyncio.sleep(0.5)
    more = {"session_id": sessions[1], "count": slow_rate * 2, "rate": slow_rate}
    stuck.send(request("stream", more))
    beside = await event_delays(healthy, EVENT_RATE, EVENT_RATE)
    await close_all([healthy, stuck])
    return {"slow_client": median(beside) / median(alone)}


@measurement()
async def busy_thread(server: Server, seconds: float = 1.0) -> Found:
    """A round trip while a thread of Hermes computes and releases the GIL when asked."""
    busy, client = await server.connect_many(2)
    busy.expect(1)
    busy.send(request("burn", {"seconds": seconds}))
    await asyncio.sleep(0.02)
    until = time.perf_counter() + seconds - 0.05
    times = await round_trips(client, [request("echo", PARAMS) for _ in range(2000)], until)
    await busy.finished()
    await close_all([busy, client])
    return {"busy_thread_p50": percentile(times, 50) * 1e6}


@measurement(parts=(UNPINNED,))
async def gil_held(server: Server) -> Found:
    """/health and a WebSocket ping while a thread of Hermes does not release the GIL."""
    busy, other = await server.connect_many(2)
    busy.expect(1)
    busy.send(request("burn", {"seconds": GIL_HELD, "hold": True}))
    await asyncio.sleep(0.05)
    until = time.perf_counter() + GIL_HELD - 0.2
    pings, pages = await asyncio.gather(
        repeat(other.ping, until), repeat(lambda: health(server.port), until)
    )
    await busy.finished()
    await close_all([busy, other])
    health_ms, ping_ms = (percentile(times, 99) * 1e3 for times in (pages, pings))
    return {"gil_held_health": health_ms, "gil_held_ping": ping_ms}
