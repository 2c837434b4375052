"""The measurements: each takes a running server and clients of it, and returns what it found.

All are bounded in count, and all waits in time: a round takes some seconds per server.
"""

from __future__ import annotations

import asyncio
import contextlib
import multiprocessing
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from statistics import median
from typing import Any, Final, NamedTuple

from tests import fake_model

from . import traffic
from .machine import cpu_seconds, peak_growth, private_memory
from .results import PINNED, REAL, UNPINNED, Found, percentile
from .servers import Server
from .targets import EVENT_RATE, RATES
from .traffic import PARAMS, Client, close_all, request

#: Idle clients.
MANY: Final = 1000
LARGE: Final = 8 * 1024 * 1024
#: Requests by the key of their row: method and parameters.
REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "real_list": ("session.list", {"limit": 50}),
    "real_catalog": ("commands.catalog", {}),
    "real_slash": ("complete.slash", {"text": "/he"}),
}
#: Words of the turn at a model's pace, which is as many a second; and of the one without pauses.
WORDS: Final = 200
MANY_WORDS: Final = 2000


async def idle_clients(server: Server) -> Found:
    """A thousand clients connect, stay idle, and send a ping each every second, for 2 s.

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
    used = cpu_seconds(server.pids)
    await traffic.in_turn(lambda n: clients[n % MANY].ping(), 2 * MANY, 1 / MANY)
    load = (cpu_seconds(server.pids) - used) / 2 * 100
    await close_all(clients)
    await asyncio.sleep(0.3)
    return {"accept_s": accepted, "idle_memory": grown / MANY / 1024, "idle_cpu": load}


async def pool_round_trip(server: Server, client: Client) -> Found:
    """A small request that Hermes answers from its pool of threads."""
    return await round_trip(server, client, "long.echo", "pool_round_trip")


async def round_trip(
    server: Server, client: Client, method: str = "echo", key: str = "round_trip"
) -> Found:
    """A small request that Hermes answers at once."""
    times = await traffic.round_trips(client, [request(method, PARAMS) for _ in range(1100)])
    p50, p90 = (percentile(times, percent) * 1e6 for percent in (50, 90))
    return {f"{key}_p50": p50, f"{key}_p90": p90, key: times}


async def pipelined(server: Server, *clients: Client) -> Found:
    """A single client with up to 128 requests under way, many with up to 16 each."""
    count, batch = (8192, 64) if len(clients) == 1 else (256, 8)
    return {f"pipelined_{len(clients)}": await traffic.pipelines(clients, count, batch)}


async def event_latency(server: Server, client: Client) -> Found:
    """One session at each rate: the latency of its tokens, and the server's CPU time for each."""
    found: Found = {}
    await traffic.event_delays(client, 1000, 20)  # Warms up.
    for rate in RATES:
        count = max(rate, 50)
        used = cpu_seconds(server.pids)
        times = await traffic.event_delays(client, rate, count)
        found[f"rate_cpu_{rate}"] = (cpu_seconds(server.pids) - used) / count * 1e6
        found[f"rate_p50_{rate}"] = percentile(times, 50) * 1e6
        if rate == EVENT_RATE:
            p50, p99 = (percentile(times, percent) * 1e6 for percent in (50, 99))
            found |= {"event_p50": p50, "event_p99": p99, "event": times}
    return found


async def events(server: Server, *clients: Client) -> Found:
    """One session of each client emits as fast as it can."""
    count = 30_000 if len(clients) == 1 else 2000
    used = cpu_seconds(server.pids)
    rate = await traffic.flood(clients, count)
    each = (cpu_seconds(server.pids) - used) / count / len(clients)
    return {f"events_{len(clients)}": rate, f"event_cpu_{len(clients)}": each * 1e5}


async def large_answer(server: Server, client: Client) -> Found:
    """One answer of 8 MB: its time, and the server's peak memory.

    The text that Hermes itself makes is taken off the peak.
    """
    grown = peak_growth(server.pids)
    times = []
    for _ in range(2):
        began = time.perf_counter()
        client.expect(1)
        client.send(request("result.of_size", {"bytes": LARGE}))
        await client.finished()
        times.append(time.perf_counter() - began)
    return {"large_answer_ms": min(times) * 1e3, "large_answer_peak": grown() / LARGE - 1}


async def handshakes(server: Server) -> Found:
    """300 clients, ten at a time, connect, receive their `gateway.ready`, and disconnect."""
    used, began = cpu_seconds(server.pids), time.perf_counter()
    for _ in range(30):
        await close_all(await server.connect_many(10, at_once=10))
    elapsed = time.perf_counter() - began
    await asyncio.sleep(0.1)  # The end of a connection counts, too.
    cpu = (cpu_seconds(server.pids) - used) / 300
    return {"handshakes": 300 / elapsed, "handshake_cpu": cpu * 1e6}


async def slow_client(server: Server, healthy: Client, stuck: Any) -> Found:
    """A client's event latency beside another one that reads nothing, divided by that alone.

    The other one is behind by more than any kernel buffers, and its turn goes on.
    """
    alone = await traffic.event_delays(healthy, EVENT_RATE, EVENT_RATE)
    behind, running = [await traffic.open_session(stuck) for _ in range(2)]
    stuck.stop_reading()
    stuck.send(request("stream", {"session_id": behind, "count": 3000, "text": "x" * 4096}))
    await asyncio.sleep(0.5)
    stuck.send(request("stream", {"session_id": running, "count": 100, "rate": 50}))
    beside = await traffic.event_delays(healthy, EVENT_RATE, EVENT_RATE)
    return {"slow_client": median(beside) / median(alone)}


async def busy_thread(server: Server, busy: Client, client: Client) -> Found:
    """A round trip while a thread of Hermes computes and releases the GIL when asked."""
    busy.expect(1)
    busy.send(request("burn", {"seconds": 1.0}))
    await asyncio.sleep(0.02)
    texts, until = [request("echo", PARAMS)] * 2000, time.perf_counter() + 0.95
    times = await traffic.round_trips(client, texts, until)
    await busy.finished()
    return {"busy_thread_p50": percentile(times, 50) * 1e6}


async def gil_held(server: Server, busy: Client, other: Any) -> Found:
    """/health and a WebSocket ping while a thread of Hermes does not release the GIL."""
    busy.expect(1)
    busy.send(request("burn", {"seconds": 2.0, "hold": True}))
    await asyncio.sleep(0.05)
    until = time.perf_counter() + 1.8
    pings, pages = await asyncio.gather(
        traffic.repeat(other.ping, until),
        traffic.repeat(lambda: traffic.health(server.port), until),
    )
    await busy.finished()
    health_ms, ping_ms = (percentile(times, 99) * 1e3 for times in (pages, pings))
    return {"gil_held_health": health_ms, "gil_held_ping": ping_ms}


class _TimeHandler(fake_model._Handler):
    """The tests' model, but each word is the time."""

    def _event(self, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            if choice["delta"].get("content"):
                choice["delta"]["content"] = f"{time.monotonic()} "
        super()._event(chunk)


@contextlib.contextmanager
def time_model() -> Iterator[str]:
    """Run a model whose words are the time, in a process of its own. Yields its base URL."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.submit(_start_model).result()


def _start_model() -> str:
    model = fake_model.FakeModel()  # Its thread serves until the process ends.
    model.RequestHandlerClass = _TimeHandler
    return model.base_url


async def real_turns(server: Server, client: Client) -> Found:
    """Before a real Hermes: a turn that makes the agent, one at a pace, one without pauses."""
    session = await traffic.open_session(client)
    await traffic.turn(client, session, "tokens=5")
    delays = await traffic.turn(client, session, f"tokens={WORDS} rate={WORDS}")
    began = time.monotonic()
    words = await traffic.turn(client, session, f"tokens={MANY_WORDS}")
    seconds = time.monotonic() - began
    assert (len(delays), len(words)) == (WORDS, MANY_WORDS)
    p50, p99 = (percentile(delays, percent) * 1e3 for percent in (50, 99))
    return {"real_event_p50": p50, "real_event_p99": p99, "real_turn": seconds}


async def real_requests(server: Server, client: Client) -> Found:
    """Before a real Hermes: a hundred of each request."""
    found: Found = {}
    for key, (method, params) in REQUESTS.items():
        times = await traffic.round_trips(client, [request(method, params) for _ in range(100)])
        found[f"{key}_p50"] = percentile(times, 50) * 1e3
    return found


class Measurement(NamedTuple):
    """One measurement, and where it can be made."""

    measure: Callable[..., Coroutine[Any, Any, Found]]
    clients: int
    """How many it is called with. A server on a pipe is measured only with one."""
    parts: tuple[str, ...] = (PINNED, UNPINNED)


#: In this order: memory while the server is fresh, and last what changes the stub's thread
#: switch interval for good.
MEASUREMENTS: Final = {
    "idle_clients": Measurement(idle_clients, clients=0),
    "round_trip": Measurement(round_trip, clients=1),
    "pool_round_trip": Measurement(pool_round_trip, clients=1),
    "pipelined_1": Measurement(pipelined, clients=1),
    "pipelined_50": Measurement(pipelined, clients=50),
    "event_latency": Measurement(event_latency, clients=1),
    "events_1": Measurement(events, clients=1),
    "events_20": Measurement(events, clients=20),
    "large_answer": Measurement(large_answer, clients=1),
    "handshakes": Measurement(handshakes, clients=0),
    "slow_client": Measurement(slow_client, clients=2),
    "busy_thread": Measurement(busy_thread, clients=2),
    "gil_held": Measurement(gil_held, clients=2, parts=(UNPINNED,)),
    "real_turns": Measurement(real_turns, clients=1, parts=(REAL,)),
    "real_requests": Measurement(real_requests, clients=1, parts=(REAL,)),
}
