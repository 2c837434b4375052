"""What the measurements make clients do, and how they count it."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles
from typing import Final

from picows import WSFrame

from .client import PATIENCE, Client, connect, masked, request

#: Of a size that the terminal UI's small requests have.
PARAMS: Final = {"text": "what is in this directory?", "cols": 80}


async def round_trips(url: str, method: str, count: int, until: float = math.inf) -> list[float]:
    """Seconds of each of *count* requests, one after the other, on a warm connection.

    Fewer when the time is *until* before that; what is answered later does not count.
    """
    client = await connect(url)
    warm = count // 10
    requests = [request(method, PARAMS) for _ in range(warm + count)]
    times: list[float] = []
    began = 0.0

    def ask() -> None:
        nonlocal began
        text = requests.pop()
        began = time.perf_counter()
        client.send(text)

    def answered(_frame: WSFrame) -> None:
        now = time.perf_counter()
        if now < until:
            times.append(now - began)
        if requests and now < until:
            ask()
        else:
            client.finish()

    client.listen(answered)
    ask()
    await client.finished()
    await client.close()
    return times[warm:] or times


async def pipelines(clients: list[Client], count: int, lot: int) -> float:
    """Seconds until each client has *count* answers, with at most two lots under way."""
    starts = [_pipeline(client, count // lot, lot) for client in clients]
    began = time.perf_counter()
    for start in starts:
        start()
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


def _pipeline(client: Client, lots: int, lot: int) -> Callable[[], None]:
    """Prepare everything that is sent, so that sending is one write a lot."""
    writes = [b"".join(masked(request("echo", PARAMS)) for _ in range(lot)) for _ in range(lots)]
    answers = 0

    def answered(_frame: WSFrame) -> None:
        nonlocal answers
        answers += 1
        if answers % lot:
            return
        if writes:
            client.write(writes.pop())
        elif answers == lots * lot:
            client.finish()

    def start() -> None:
        client.write(writes.pop() + writes.pop())

    client.listen(answered)
    return start


async def flood(clients: list[Client], count: int) -> float:
    """Seconds until each client has got the *count* events of its session, sent at once."""
    sessions = [(await client.call("session.create", {}))["session_id"] for client in clients]
    began = time.perf_counter()
    for client, session in zip(clients, sessions, strict=True):
        client.expect(count + 3)  # The answer, and the turn's beginning and end.
        client.send(request("stream", {"session_id": session, "count": count}))
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


async def repeat(act: Callable[[], Awaitable[None]], until: float) -> list[float]:
    """Seconds that each *act* took, one every 5 ms until then, one at least."""
    times: list[float] = []
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        await act()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return times


async def health(port: int) -> None:
    """One GET of /health on a connection of its own."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n" % port
        )
        head = await reader.read()
        writer.close()
    if b" 200 " not in head.partition(b"\r\n")[0]:
        raise ConnectionError("/health did not answer 200")


def percentile(times: list[float], percent: int) -> float:
    """That percentile; of few times, the nearest."""
    if len(times) < 2:
        return times[0]
    return quantiles(times, n=100, method="inclusive")[percent - 1]
