"""What the clients of the measurements do, and how it is timed."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .clients import PATIENCE, Client, request

#: Of the size of the terminal UI's small requests.
PARAMS: Final = {"text": "what is in this directory?", "cols": 80}


async def round_trips(
    client: Client, texts: Sequence[bytes], until: float = math.inf
) -> list[float]:
    """Seconds of each request, one after the other; the first tenth warms up and is left out.

    Ends early at the time *until*; what is answered later does not count.
    """
    requests = list(reversed(texts))
    warm_up = len(requests) // 10
    times: list[float] = []
    began = 0.0

    def ask() -> None:
        nonlocal began
        text = requests.pop()
        began = time.perf_counter()
        client.send(text)

    def answered(text: bytes) -> None:
        now = time.perf_counter()
        if b'"method"' in text[:64]:
            return  # An event between request and answer.
        if now < until:
            times.append(now - began)
        if requests and now < until:
            ask()
        else:
            client.finish()

    client.listen(answered)
    ask()
    await client.finished()
    return times[warm_up:] or times


async def pipelines(clients: Sequence[Client], count: int, batch: int) -> float:
    """Seconds until each client has *count* answers, with at most two batches under way."""
    starts = [_pipeline(client, count // batch, batch) for client in clients]
    began = time.perf_counter()
    for start in starts:
        start()
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


def _pipeline(client: Client, batches: int, batch: int) -> Callable[[], None]:
    """Prepare everything that is sent: one write a batch."""
    texts = (client.framed(request("echo", PARAMS)) for _ in range(batches * batch))
    writes = [b"".join(next(texts) for _ in range(batch)) for _ in range(batches)]
    answers = 0

    def answered(_text: bytes) -> None:
        nonlocal answers
        answers += 1
        if answers % batch:
            return
        if writes:
            client.write(writes.pop())
        elif answers == batches * batch:
            client.finish()

    client.listen(answered)
    return lambda: client.write(writes.pop() + writes.pop())


async def open_session(client: Client) -> str:
    """Create a session and return its id."""
    session: str = (await client.call("session.create", {}))["session_id"]
    return session


async def flood(clients: Sequence[Client], count: int) -> float:
    """Seconds until each client has the *count* events of its session, emitted without pause."""
    sessions = [await open_session(client) for client in clients]
    began = time.perf_counter()
    for client, session in zip(clients, sessions, strict=True):
        client.expect(count + 3)  # The answer, and the turn's beginning and end.
        client.send(request("stream", {"session_id": session, "count": count}))
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


async def event_delays(client: Client, rate: int, count: int) -> list[float]:
    """Seconds from the moment in which a turn emits each token until the client has it."""
    session = await open_session(client)
    times: list[float] = []

    def receive(text: bytes) -> None:
        now = time.monotonic()
        if b'"message.delta"' in text:
            times.append(now - json.loads(text)["params"]["payload"]["t"])
        elif b'"message.complete"' in text:
            client.finish()

    client.listen(receive)
    client.send(request("stream", {"session_id": session, "count": count, "rate": rate}))
    await client.finished()
    return times


async def repeat(act: Callable[[], Awaitable[None]], until: float) -> list[float]:
    """Seconds of each *act*; one every 5 ms until the time *until*, at least one."""
    times: list[float] = []
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        await act()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return times


async def ping_in_turn(clients: Sequence[Client], seconds: float, interval: float) -> None:
    """Ping with each client every *interval* seconds, evenly spread, for *seconds*."""
    began = time.perf_counter()
    pause = interval / len(clients)
    waiting: list[asyncio.Task[None]] = []
    for number in range(round(seconds / pause)):
        early = began + number * pause - time.perf_counter()
        if early > 0:
            await asyncio.sleep(early)
        waiting.append(asyncio.ensure_future(clients[number % len(clients)].ping()))
    await asyncio.gather(*waiting)


async def health(port: int) -> None:
    """One GET of /health on a new connection. Raises `ConnectionError` if it is not 200."""
    async with asyncio.timeout(PATIENCE):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        head = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n\r\n"
        writer.write(head % port)
        answer = await reader.read()
        writer.close()
    if b" 200 " not in answer.partition(b"\r\n")[0]:
        raise ConnectionError("/health did not answer 200")
