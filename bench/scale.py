"""`python -m bench.scale`: thousands of clients on one server, and the cost of each.

First idle clients, up to `--idle`: their time to attach, memory, CPU time with the default pings,
and the latency of one more client and of /health among them. Then busy clients, each with a
session that streams and a request a second; and busy clients among idle ones. What grows
linearly costs the same per client on every line of a table.
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
from collections.abc import Callable, Coroutine, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final

from .clients import Client, close_all, connect, connect_many, request
from .machine import cpu_timer, private_memory
from .servers import Server, before_stub
from .stats import digits, percentile, table
from .targets import INPROCESS, WORKER
from .traffic import PARAMS, health, open_session, repeat

MAX_CLIENTS: Final = 5000
#: Seconds of one round of the server's pings, with its default options.
PING_ROUND: Final = 20.0
#: Seconds for which one more client asks.
PROBE: Final = 5.0
#: A busy client's events per second, for how many seconds, how many of them pass before the
#: measurement begins, and how many it takes.
RATE: Final = 20
STREAM, LEAD, MEASURED = 9.0, 1.5, 6.0

#: One line of a table: values by their column's name.
Row = dict[str, float]


class Costs:
    """CPU time and memory of a server's processes: first the front, then the worker."""

    def __init__(self, server: Server) -> None:
        self._pids = server.pids
        self.restart()

    def restart(self) -> None:
        """Count CPU time from now."""
        self._timers = [cpu_timer([pid]) for pid in self._pids]

    def cpu(self) -> list[float]:
        """CPU seconds since `restart`."""
        return [*(timer() for timer in self._timers), 0.0][:2]

    def memory(self) -> list[float]:
        """Private MiB."""
        return [*(private_memory([pid]) / 2**20 for pid in self._pids), 0.0][:2]


def probe(url: str, port: int, seconds: float) -> Row:
    """One more client, in a process of its own: latencies of its requests, and of /health."""
    gc.disable()
    return asyncio.run(_probe(url, port, seconds))


async def _probe(url: str, port: int, seconds: float) -> Row:
    client = await connect(url)
    trips: list[float] = []
    pages: list[float] = []

    async def ask() -> None:  # In turns: at once, each would wait for the other.
        began = time.perf_counter()
        await client.call("echo", PARAMS)
        trips.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
        began = time.perf_counter()
        await health(port)
        pages.append(time.perf_counter() - began)

    await repeat(ask, time.perf_counter() + 0.2)  # Warms up.
    trips.clear()
    pages.clear()
    await repeat(ask, time.perf_counter() + seconds)
    await client.close()
    return latencies("request", trips) | latencies("/health", pages)


def latencies(name: str, times: Sequence[float]) -> Row:
    """Percentiles and the maximum, in milliseconds."""
    p50, p99 = (percentile(times, percent) * 1e3 for percent in (50, 99))
    return {f"{name} p50, ms": p50, f"{name} p99, ms": p99, f"{name} max, ms": max(times) * 1e3}


async def idle(server: Server, steps: list[int], pool: Executor) -> list[list[Row]]:
    """A line for each number of idle clients; then latencies during a round of pings."""
    loop, rows = asyncio.get_running_loop(), []

    async def one_more(seconds: float) -> Row:
        return await loop.run_in_executor(pool, probe, server.url, server.port, seconds)

    costs = Costs(server)
    await close_all(await connect_many(server.url, 20))  # First uses load modules.
    await one_more(0.5)
    await asyncio.sleep(0.5)
    empty = costs.memory()
    clients: list[Client] = []
    for step in steps:
        more = step - len(clients)
        costs.restart()
        began = time.perf_counter()
        clients += await connect_many(server.url, more, at_once=32)
        attach, accepting = time.perf_counter() - began, sum(costs.cpu())
        await asyncio.sleep(1)
        memory = costs.memory()
        front, worker = (
            (now - then) * 1024 / step for now, then in zip(memory, empty, strict=True)
        )
        costs.restart()
        await asyncio.sleep(PING_ROUND)
        load = sum(costs.cpu()) / PING_ROUND
        asked = await one_more(PROBE)
        rows.append(
            {
                "idle clients": step,
                "attach, ms each": attach / more * 1e3,
                "its CPU, ms each": accepting / more * 1e3,
                "front, KiB each": front,
                "worker, KiB each": worker,
                "both, MiB": sum(memory),
                "idle CPU, ms/s": load * 1e3,
                "idle CPU each, µs/s": load / step * 1e6,
                **asked,
            }
        )
        _show(rows[-1])
    during = {"idle clients, during pings": float(steps[-1]), **await one_more(PING_ROUND)}
    await _close(clients)
    return [rows, [_show(during)]]


class BusyClient:
    """A client whose session streams, and which sends a request every second meanwhile."""

    def __init__(self, client: Client, session: str) -> None:
        self._client = client
        self._session = session
        self.events: list[float] = []
        self.trips: list[float] = []
        self.lost = 0
        self._asked: dict[int, float] = {}
        self._next = self._ids = 0
        self._over = False

    def begin(self) -> None:
        """Start the stream, and a little later the requests."""
        self._client.listen(self._receive)
        self._client.send(request("stream", _stream(self._session), -1))
        asyncio.get_running_loop().call_later(0.2, self._ask)

    def _ask(self) -> None:
        if self._over:
            return
        self._ids += 1
        self._asked[self._ids] = time.monotonic()
        self._client.send(request("echo", PARAMS, self._ids))
        asyncio.get_running_loop().call_later(1.0, self._ask)

    async def end(self) -> None:
        """Wait for the last event and every answer; count those that never came."""
        await self._client.finished()
        self.lost += _stream(self._session)["count"] - self._next + len(self._asked)

    def _receive(self, text: bytes) -> None:
        now = time.monotonic()
        message = json.loads(text)
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
            self._client.finish()


def _stream(session: str) -> dict[str, Any]:
    return {"session_id": session, "count": round(STREAM * RATE), "rate": RATE}


async def busy(server: Server, steps: list[int], among: int = 0) -> list[list[Row]]:
    """A line for each number of busy clients, among *among* clients in all."""
    return [[await _busy(server, step, among) for step in steps]]


async def _busy(server: Server, step: int, among: int) -> Row:
    clients = await connect_many(server.url, max(step, among), at_once=32)
    active = [BusyClient(client, await open_session(client)) for client in clients[:step]]
    costs = Costs(server)
    began = time.perf_counter()
    for number, client in enumerate(active):  # Spread over a second, as people are.
        await asyncio.sleep(max(0.0, began + number / step - time.perf_counter()))
        client.begin()
    await asyncio.sleep(max(0.0, began + LEAD - time.perf_counter()))
    costs.restart()
    since = time.perf_counter()
    await asyncio.sleep(MEASURED)
    front, worker = costs.cpu()
    elapsed = time.perf_counter() - since
    memory = costs.memory()
    for client in active:
        await client.end()
    await _close(clients)
    events = elapsed * step * RATE
    row = {
        "busy clients": step,
        "idle beside": len(clients) - step,
        "front CPU, %": front / elapsed * 100,
        "worker CPU, %": worker / elapsed * 100,
        "CPU per event, µs": (front + worker) / events * 1e6,
        "front's part, µs": front / events * 1e6,
        **latencies("event", [delay for client in active for delay in client.events]),
        **latencies("request", [trip for client in active for trip in client.trips]),
        "front, MiB": memory[0],
        "worker, MiB": memory[1],
        "lost": sum(client.lost for client in active),
    }
    return _show(row)


async def _close(clients: list[Client]) -> None:
    """Close them. Raises `ConnectionError` if the server had disconnected any."""
    gone = sum(client.transport.is_disconnected for client in clients)
    if gone:
        raise ConnectionError(f"{gone} of {len(clients)} clients were disconnected")
    await close_all(clients)


def _show(row: Row) -> Row:
    print({name: digits(value) for name, value in row.items()}, file=sys.stderr, flush=True)
    return row


@contextlib.contextmanager
def _serving(backend: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        server = before_stub(None)[backend](Path(place))
        try:
            yield server
        finally:
            server.stop()
            if "Traceback" in (log := server.log.read_text()):
                print(log[-4000:], file=sys.stderr)


def main() -> None:
    """Measure what the command line says; print tables."""
    options = _parser().parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = max(soft, 2 * options.idle + 1000)  # The server inherits this limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    idle_steps = _steps(options.idle, (0.1, 0.2, 0.5, 1))
    busy_steps = _steps(options.busy, (0.1, 0.25, 0.5, 1))
    gc.disable()  # A pause of ours would be measured as the server's.
    tables: list[list[Row]] = []
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        parts: dict[str, Callable[[Server], Coroutine[Any, Any, list[list[Row]]]]] = {
            "idle": lambda server: idle(server, idle_steps, pool),
            "busy": lambda server: busy(server, busy_steps),
            "mixed": lambda server: busy(server, busy_steps[-1:], among=options.idle),
        }
        for name in options.only:
            with _serving(options.backend) as server:
                tables += asyncio.run(parts[name](server))
    for rows in tables:
        print(table([*rows[0]], [[digits(value) for value in row.values()] for row in rows]), "\n")


def _steps(most: int, shares: tuple[float, ...]) -> list[int]:
    return sorted({max(1, round(most * share)) for share in shares})


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    add, parts = parser.add_argument, ["idle", "busy", "mixed"]
    add("--idle", type=_count, default=MAX_CLIENTS, metavar="N", help="idle clients")
    add("--busy", type=_count, default=500, metavar="N", help="busy clients")
    add("--backend", choices=[WORKER, INPROCESS], default=WORKER)
    add("--only", nargs="+", choices=parts, default=parts, metavar="PART", help=", ".join(parts))
    return parser


def _count(text: str) -> int:
    value = int(text)
    if not 1 <= value <= MAX_CLIENTS:
        raise argparse.ArgumentTypeError(f"from 1 to {MAX_CLIENTS}")
    return value


if __name__ == "__main__":
    main()
