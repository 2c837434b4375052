"""`python -m bench.scale`: thousands of clients on one server, and what each of them costs.

First idle ones, up to `--idle`, on one server: how long they take to attach, memory and CPU
with the default pings, and how quickly one more client and /health are answered among them.
Then busy ones, each with a session that streams and a request a second; at last busy ones
among idle ones. What grows linearly costs the same per client on every line of a table.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from picows import WSFrame

from . import procfs, servers
from .client import Client, close_all, connect, connect_many, request
from .traffic import PARAMS, health, percentile, repeat

MAX_CLIENTS: Final = 5000
#: One of the server's rounds of pings, with its default options, in seconds.
PING_ROUND: Final = 20.0
#: How long the one more client asks, in seconds.
PROBE: Final = 5.0
#: A busy client's events per second, how many seconds of them, and how many of those are
#: measured: the first to come are left out.
RATE: Final = 20
STREAM, LEAD, BUSY = 9.0, 1.5, 6.0

Row = dict[str, float]


@dataclass
class Costs:
    """The server's processes between two moments."""

    front: list[int]
    worker: list[int]
    _cpu: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def of(cls, server: servers.Server) -> Costs:
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


async def idle(server: servers.Server, steps: list[int], pool: Executor) -> list[list[Row]]:
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
        _show(rows[-1])
    asked = await loop.run_in_executor(pool, probe, server.url, server.port, PING_ROUND)
    through = {
        "idle clients, through a round of pings": float(steps[-1]),
        **latencies("request", asked[0]),
        **latencies("/health", asked[1]),
    }
    _show(through)
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

    def _hear(self, frame: WSFrame) -> None:
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


async def busy(server: servers.Server, clients: list[Client], step: int) -> Row:
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


async def busy_steps(server: servers.Server, steps: list[int]) -> list[list[Row]]:
    """Busy clients alone."""
    rows = []
    for step in steps:
        clients = await connect_many(server.url, step, at_once=32)
        rows.append(await busy(server, clients, step))
        _show(rows[-1])
        await close_all(clients)
    return [rows]


async def turns_alone(server: servers.Server, step: int) -> list[list[Row]]:
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
    _show(row)
    return [[row]]


async def busy_among_idle(server: servers.Server, step: int, most: int) -> list[list[Row]]:
    """Busy clients, and idle ones beside them."""
    clients = await connect_many(server.url, most, at_once=32)
    row = await busy(server, clients, step)
    _check_alive(clients)
    await close_all(clients)
    _show(row)
    return [[row]]


def _check_alive(clients: list[Client]) -> None:
    gone = sum(client.transport.is_disconnected for client in clients)
    if gone:
        raise ConnectionError(f"{gone} of {len(clients)} clients were disconnected")


@contextlib.contextmanager
def serving(backend: str, clients: int) -> Iterator[servers.Server]:
    """A server that takes so many from one address."""
    options = [f"--max-connections={clients}", f"--max-connections-per-address={clients}"]
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        server = start(backend, Path(place), options)
        try:
            yield server
        finally:
            server.stop()
            if "Traceback" in (log := (Path(place) / "log").read_text()):
                print(log[-4000:], file=sys.stderr)


def start(backend: str, place: Path, options: list[str]) -> servers.Server:
    """One of ours, with these options."""
    if backend == servers.INPROCESS:
        options = [*options, "--backend=inprocess"]
        return servers._start_ours(place, options, {"PYTHONPATH": str(servers.STUB)})
    wrapper = place / "python"
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH="{servers.STUB}" exec "{sys.executable}" "$@"\n')
    wrapper.chmod(0o700)
    return servers._start_ours(place, [*options, f"--hermes-python={wrapper}"], {})


def raise_descriptors(wanted: int) -> None:
    """For this process and the servers that it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        sys.exit(f"{wanted} descriptors are needed; the hard limit (ulimit -Hn) is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", f"|{' ---: |' * len(rows[0])}"]
    lines += [f"| {' | '.join(map(number, row.values()))} |" for row in rows]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that count, and no fewer where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _show(row: Row) -> None:
    print({name: number(value) for name, value in row.items()}, file=sys.stderr, flush=True)


def _steps(most: int, parts: tuple[float, ...]) -> list[int]:
    return sorted({max(1, round(most * part)) for part in parts})


def main() -> None:
    """Measure what the command line says."""
    options = _parser().parse_args()
    raise_descriptors(2 * options.idle + 1000)
    idle_steps = _steps(options.idle, (0.1, 0.2, 0.5, 1))
    busy_only = _steps(options.busy, (0.1, 0.25, 0.5, 1))
    context = multiprocessing.get_context("spawn")
    tables: list[list[Row]] = []

    def run(act: Callable[[servers.Server], Coroutine[Any, Any, list[list[Row]]]]) -> None:
        with serving(options.backend, options.idle + 100) as server:
            tables.extend(asyncio.run(act(server)))

    gc.disable()  # A pause of ours would be measured as the server's.
    if "idle" in options.only:
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            run(lambda server: idle(server, idle_steps, pool))
    if "busy" in options.only:
        run(lambda server: busy_steps(server, busy_only))
    if "turns" in options.only:
        run(lambda server: turns_alone(server, options.busy))
    if "both" in options.only:
        run(lambda server: busy_among_idle(server, options.busy, options.idle))
    print("\n\n".join(map(table, tables)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parts = ["idle", "busy", "turns", "both"]
    parser.add_argument("--idle", type=_count, default=MAX_CLIENTS, metavar="N")
    parser.add_argument("--busy", type=_count, default=500, metavar="N")
    parser.add_argument("--backend", choices=[servers.WORKER, servers.INPROCESS], default="worker")
    parser.add_argument("--only", nargs="+", choices=parts, default=parts, metavar="PART",
                        help=f"some of it: {', '.join(parts)}")  # fmt: skip
    return parser


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_CLIENTS}")
    return value


if __name__ == "__main__":
    main()
