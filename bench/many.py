"""What the crowds of `bench.scale` do, and what they cost the server."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Final

from . import procfs
from .client import Client, close_all, connect, connect_many
from .servers import Server
from .stats import percentile
from .tables import Row, show
from .talk import Message, request
from .traffic import PARAMS, health, repeat

#: One of the server's rounds of pings, with its default options, in seconds.
PING_ROUND: Final = 20.0
#: How long the one more client asks, in seconds.
PROBE: Final = 5.0
#: A busy client's events per second, how many seconds of them, and how many of those are
#: measured: the first to come are left out.
RATE: Final = 20
STREAM, LEAD, BUSY = 9.0, 1.5, 6.0


@dataclass
class Costs:
    """The server's processes between two moments."""

    front: list[int]
    worker: list[int]
    _cpu: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, server: Server) -> Costs:
        front, *worker = server.pids
        return cls([front], worker)

    def begin(self) -> None:
        self._cpu = self._read()

    def cpu(self) -> tuple[float, float]:
        """Seconds since `begin`: of the front, of the worker."""
        front, worker = self._read()
        return front - self._cpu[0], worker - self._cpu[1]

    def memory(self) -> tuple[int, int]:
        """Private bytes of the front, of the worker."""
        return procfs.memory(self.front), procfs.memory(self.worker)

    def _read(self) -> tuple[float, float]:
        return procfs.cpu_seconds(self.front), procfs.cpu_seconds(self.worker)


def probe(url: str, port: int, seconds: float) -> tuple[list[float], list[float]]:
    """One more client, in a process of its own: seconds of its requests, and of /health."""

    async def ask() -> tuple[list[float], list[float]]:
        client = await connect(url)

        trips: list[float] = []
        pages: list[float] = []

        async def both() -> None:  # In turns: at once, each would wait for the other.
            began = time.perf_counter()
            await client.call("echo", PARAMS)
            trips.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
            began = time.perf_counter()
            await health(port)
            pages.append(time.perf_counter() - began)

        await repeat(both, time.perf_counter() + 0.2)
        trips.clear()
        pages.clear()
        await repeat(both, time.perf_counter() + seconds)
        await client.close()
        return trips, pages

    gc.disable()
    return asyncio.run(ask())


def latencies(name: str, times: list[float]) -> Row:
    """In milliseconds."""
    return {
        f"{name} p50, ms": percentile(times, 50) * 1e3,
        f"{name} p99, ms": percentile(times, 99) * 1e3,
        f"{name} max, ms": max(times) * 1e3,
    }


async def idle(server: Server, steps: list[int], pool: Executor) -> list[list[Row]]:
    """A line for each number of idle clients; then what a round of pings does to others."""
    costs, loop, rows = Costs.of(server), asyncio.get_running_loop(), []
    await close_all(await connect_many(server.url, 20))  # First uses load modules.
    await loop.run_in_executor(pool, probe, server.url, server.port, 0.5)
    await asyncio.sleep(0.5)
    empty = costs.memory()
    clients: list[Client] = []
    for step in steps:
        more = step - len(clients)
        costs.begin()
        began = time.perf_counter()
        clients += await connect_many(server.url, more, at_once=32)
        attach, accepting = time.perf_counter() - began, costs.cpu()
        await asyncio.sleep(1)
        grown = [now - then for now, then in zip(costs.memory(), empty, strict=True)]
        costs.begin()
        await asyncio.sleep(PING_ROUND)
        front, worker = costs.cpu()
        asked = await loop.run_in_executor(pool, probe, server.url, server.port, PROBE)
        rows.append(
            {
                "idle clients": step,
                "attach, ms each": attach / more * 1e3,
                "its CPU, ms each": sum(accepting) / more * 1e3,
                "front, KiB each": grown[0] / step / 1024,
                "worker, KiB each": grown[1] / step / 1024,
                "both, MiB": sum(costs.memory()) / 2**20,
                "idle CPU, ms/s": (front + worker) / PING_ROUND * 1e3,
                "idle CPU each, µs/s": (front + worker) / PING_ROUND / step * 1e6,
                **latencies("request", asked[0]),
                **latencies("/health", asked[1]),
            }
        )
        show(rows[-1])
    asked = await loop.run_in_executor(pool, probe, server.url, server.port, PING_ROUND)
    through = {
        "idle clients, through a round of pings": float(steps[-1]),
        **latencies("request", asked[0]),
        **latencies("/health", asked[1]),
    }
    show(through)
    _check_alive(clients)
    await close_all(clients)
    return [rows, [through]]


@dataclass
class Turn:
    """A busy client: what its session streams, and what it asks meanwhile."""

    client: Client
    session: str
    events: list[float] = field(default_factory=list)
    trips: list[float] = field(default_factory=list)
    lost: int = 0
    _asked: dict[int, float] = field(default_factory=dict)
    _next: int = 0
    _ids: int = 0
    _over: bool = False

    def begin(self, count: int) -> None:
        """Start the stream."""
        self._count = count
        self.client.listen(self._hear)
        params = {"session_id": self.session, "count": count, "rate": RATE}
        self.client.send(request("stream", params, -1))

    def ask(self) -> None:
        """A request, and another one in a second."""
        if self._over:
            return
        self._ids += 1
        self._asked[self._ids] = time.monotonic()
        self.client.send(request("echo", PARAMS, self._ids))
        asyncio.get_running_loop().call_later(1.0, self.ask)

    async def end(self) -> None:
        """Wait for the last event, and for every answer."""
        await self.client.finished()
        self.lost += self._count - self._next + len(self._asked)

    def _hear(self, frame: Message) -> None:
        now = time.monotonic()
        message = json.loads(frame.get_payload_as_bytes())
        if "method" not in message:
            if message["id"] > 0:
                self.trips.append(now - self._asked.pop(message["id"]))
        elif message["params"]["type"] == "message.delta":
            payload = message["params"]["payload"]
            self.lost += payload["n"] != self._next
            self._next = payload["n"] + 1
            self.events.append(now - payload["t"])
        elif message["params"]["type"] == "message.complete":
            self._over = True
        if self._over and not self._asked:
            self.client.finish()


async def busy(server: Server, clients: list[Client], step: int) -> Row:
    """A line for so many busy clients; what is lost is counted, not forgiven."""
    costs = Costs.of(server)
    turns = [
        Turn(client, (await client.call("session.create", {}))["session_id"])
        for client in clients[:step]
    ]
    count = round(STREAM * RATE)
    began = time.perf_counter()
    for number, turn in enumerate(turns):  # Spread over a second, as people are.
        await asyncio.sleep(max(0.0, began + number / step - time.perf_counter()))
        turn.begin(count)
        asyncio.get_running_loop().call_later(0.2, turn.ask)
    await asyncio.sleep(max(0.0, began + LEAD - time.perf_counter()))
    costs.begin()
    since = time.perf_counter()
    await asyncio.sleep(BUSY)
    front, worker = costs.cpu()
    elapsed = time.perf_counter() - since
    memory = costs.memory()
    for turn in turns:
        await turn.end()
    events = elapsed * step * RATE
    return {
        "busy clients": step,
        "idle beside": len(clients) - step,
        "front CPU, %": front / elapsed * 100,
        "worker CPU, %": worker / elapsed * 100,
        "CPU per event, µs": (front + worker) / events * 1e6,
        "front's part, µs": front / events * 1e6,
        **latencies("event", [time for turn in turns for time in turn.events]),
        **latencies("request", [time for turn in turns for time in turn.trips]),
        "front, MiB": memory[0] / 2**20,
        "worker, MiB": memory[1] / 2**20,
        "lost": sum(turn.lost for turn in turns),
    }


async def busy_steps(server: Server, steps: list[int]) -> list[list[Row]]:
    """Busy clients alone."""
    rows = []
    for step in steps:
        clients = await connect_many(server.url, step, at_once=32)
        rows.append(await busy(server, clients, step))
        show(rows[-1])
        await close_all(clients)
    return [rows]


async def turns_alone(server: Server, step: int) -> list[list[Row]]:
    """What the stand-in's turns cost when nobody is attached to their sessions."""
    client, gone = await connect_many(server.url, 2)
    sessions = [(await gone.call("session.create", {}))["session_id"] for _ in range(step)]
    await gone.close()
    while not (await client.call("session.where", {"session_id": sessions[-1]}))["detached"]:
        await asyncio.sleep(0.05)
    costs = Costs.of(server)
    for session in sessions:
        params = {"session_id": session, "count": round(STREAM * RATE), "rate": RATE}
        await client.call("stream", params)
    costs.begin()
    await asyncio.sleep(BUSY)
    front, worker = costs.cpu()
    await client.close()
    await asyncio.sleep(STREAM - BUSY)
    row = {
        "turns to nobody": float(step),
        "front CPU, %": front / BUSY * 100,
        "worker CPU, %": worker / BUSY * 100,
        "CPU per event, µs": (front + worker) / (BUSY * step * RATE) * 1e6,
    }
    show(row)
    return [[row]]


async def busy_among_idle(server: Server, step: int, most: int) -> list[list[Row]]:
    """Busy clients, and idle ones beside them."""
    clients = await connect_many(server.url, most, at_once=32)
    row = await busy(server, clients, step)
    _check_alive(clients)
    await close_all(clients)
    show(row)
    return [[row]]


def _check_alive(clients: list[Client]) -> None:
    gone = sum(client.transport.is_disconnected for client in clients)
    if gone:
        raise ConnectionError(f"{gone} of {len(clients)} clients were disconnected")
