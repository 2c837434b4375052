"""`python -m bench.scale`: thousands of clients on one server, and the cost of each.

First idle clients; then busy clients, each with a session that streams and a request a second;
and busy clients among idle ones. What grows linearly costs the same per client in every row.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import uvloop

from .machine import cpu_seconds, private_memory
from .results import digits, percentile, table
from .servers import Server, start
from .targets import WORKER
from .traffic import PARAMS, Client, close_all, health, open_session, repeat, request

#: Seconds of one round of the server's pings, with its default options.
PING_ROUND: Final = 20.0
#: Seconds for which one more client asks.
PROBE: Final = 5.0
#: A busy client's events and requests; it takes 9 s.
EVENTS, EVENT_RATE, REQUESTS = 180, 20, 8
#: Seconds of a busy client before it is measured, and for which it is measured.
LEAD, MEASURED = 1.5, 6.0

#: Of a table: values by their column's name.
Row = dict[str, float]


def latencies(name: str, times: Sequence[float]) -> Row:
    """Return percentiles in milliseconds."""
    return {f"{name} p{percent}, ms": percentile(times, percent) * 1e3 for percent in (50, 99)}


async def idle(server: Server, most: int) -> list[Row]:
    """Return a row for each number of idle clients, up to *most*."""
    rows = []
    probe, *_ = await server.connect_many(20)  # First uses load modules.
    empty = [private_memory([pid]) for pid in server.pids]
    clients: list[Client] = []
    for step in (most * share // 10 for share in (1, 2, 5, 10)):
        more = step - len(clients)
        began = time.perf_counter()
        clients += await server.connect_many(more, at_once=32)
        attach = time.perf_counter() - began
        await asyncio.sleep(1)
        memory = [private_memory([pid]) for pid in server.pids]
        front, worker = ((now - then) / step for now, then in zip(memory, empty, strict=True))
        used = cpu_seconds(server.pids)
        await asyncio.sleep(PING_ROUND)
        load = (cpu_seconds(server.pids) - used) / PING_ROUND
        trips = await repeat(lambda: probe.call("echo", PARAMS), time.perf_counter() + PROBE)
        pages = await repeat(lambda: health(server.port), time.perf_counter() + PROBE)
        row = {
            "idle clients": step,
            "attach, ms each": attach / more * 1e3,
            "front, KiB each": front / 1024,
            "worker, KiB each": worker / 1024,
            "both, MiB": sum(memory) / 2**20,
            "idle CPU each, µs/s": load / step * 1e6,
        }
        rows.append(row | latencies("request", trips) | latencies("/health", pages))
    await close_all(clients)
    return rows


async def be_busy(client: Client, delay: float) -> tuple[list[float], list[float]]:
    """Stream, and send a request a second; return the seconds of each event and request."""
    session = await open_session(client)
    await asyncio.sleep(delay)
    events: list[float] = []
    trips: list[float] = []
    asked: dict[int, float] = {}

    def receive(text: bytes) -> None:
        now = time.monotonic()
        message = json.loads(text)
        if message.get("id") in asked:
            trips.append(now - asked[message["id"]])
        elif message.get("params", {}).get("type") == "message.delta":
            events.append(now - message["params"]["payload"]["t"])
        if len(events) == EVENTS and len(trips) == REQUESTS:
            client.finish()

    client.listen(receive)
    stream = {"session_id": session, "count": EVENTS, "rate": EVENT_RATE}
    client.send(request("stream", stream))
    for number in range(-REQUESTS, 0):
        asked[number] = time.monotonic()
        client.send(request("echo", PARAMS, number))
        await asyncio.sleep(1)
    await client.finished()
    return events, trips


async def busy(server: Server, most: int, most_idle: int) -> list[Row]:
    """Return a row for each number of busy clients, and of the last among idle ones."""
    alone = [await _busy(server, most * percent // 100, 0) for percent in (10, 25, 50, 100)]
    return [*alone, await _busy(server, most, most_idle)]


async def _busy(server: Server, count: int, among: int) -> Row:
    clients = await server.connect_many(max(count, among), at_once=32)
    # Spread over a second, as people are.
    active = [be_busy(client, number / count) for number, client in enumerate(clients[:count])]
    ended = asyncio.gather(*active)
    await asyncio.sleep(LEAD)
    used = [cpu_seconds([pid]) for pid in server.pids]
    await asyncio.sleep(MEASURED)
    front, worker = (cpu_seconds([pid]) - then for pid, then in zip(server.pids, used, strict=True))
    memory = [private_memory([pid]) / 2**20 for pid in server.pids]
    found = await ended
    await close_all(clients)
    events = MEASURED * count * EVENT_RATE
    row = {
        "busy clients": count,
        "idle beside": len(clients) - count,
        "front CPU, %": front / MEASURED * 100,
        "worker CPU, %": worker / MEASURED * 100,
        "CPU per event, µs": (front + worker) / events * 1e6,
        "front, MiB": memory[0],
        "worker, MiB": memory[1],
    }
    delays, trips = ([time for each in some for time in each] for some in zip(*found, strict=True))
    return row | latencies("event", delays) | latencies("request", trips)


def main() -> None:
    """Measure what the command line says; print tables."""
    parser = argparse.ArgumentParser(prog="python -m bench.scale", description=__doc__)
    parser.add_argument("--idle", type=int, default=5000, metavar="N", help="idle clients")
    parser.add_argument("--busy", type=int, default=500, metavar="N", help="busy clients")
    parser.add_argument("--only", choices=["idle", "busy"])
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    descriptors = max(soft, 2 * options.idle + 1000)  # The server inherits this limit.
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, hard))
    gc.disable()  # A pause of ours would be measured as the server's.
    for part in [options.only] if options.only else ["idle", "busy"]:
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            server = start(WORKER, Path(place, WORKER), sys.executable)
            try:
                if part == "idle":
                    rows = uvloop.run(idle(server, options.idle))
                else:
                    rows = uvloop.run(busy(server, options.busy, options.idle))
            finally:
                server.stop()
        print(table([*rows[0]], [[digits(value) for value in row.values()] for row in rows]), "\n")


if __name__ == "__main__":
    main()
