"""What the measurements make clients do, and how they count it."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from .talk import PATIENCE, Message, Talk, request

#: Of a size that the terminal UI's small requests have.
PARAMS: Final = {"text": "what is in this directory?", "cols": 80}


async def round_trips(client: Talk, texts: Sequence[bytes], until: float = math.inf) -> list[float]:
    """Seconds of each of these requests, one after the other; the first tenth warms up.

    Fewer when the time is *until* before that; what is answered later does not count.
    """
    requests = list(reversed(texts))
    warm = len(requests) // 10
    times: list[float] = []
    began = 0.0

    def ask() -> None:
        nonlocal began
        text = requests.pop()
        began = time.perf_counter()
        client.send(text)

    def answered(message: Message) -> None:
        now = time.perf_counter()
        if b'"method"' in message.get_payload_as_bytes()[:64]:
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
    return times[warm:] or times


async def pipelines(clients: Sequence[Talk], count: int, lot: int) -> float:
    """Seconds until each client has *count* answers, with at most two lots under way."""
    starts = [_pipeline(client, count // lot, lot) for client in clients]
    began = time.perf_counter()
    for start in starts:
        start()
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


def _pipeline(client: Talk, lots: int, lot: int) -> Callable[[], None]:
    """Prepare everything that is sent, so that sending is one write a lot."""
    framed = client.framed
    writes = [b"".join(framed(request("echo", PARAMS)) for _ in range(lot)) for _ in range(lots)]
    answers = 0

    def answered(_message: Message) -> None:
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


async def open_session(client: Talk) -> str:
    """A new session's id."""
    session: str = (await client.call("session.create", {}))["session_id"]
    return session


async def flood(clients: Sequence[Talk], count: int) -> float:
    """Seconds until each client has got the *count* events of its session, sent at once."""
    sessions = [await open_session(client) for client in clients]
    began = time.perf_counter()
    for client, session in zip(clients, sessions, strict=True):
        client.expect(count + 3)  # The answer, and the turn's beginning and end.
        client.send(request("stream", {"session_id": session, "count": count}))
    for client in clients:
        await client.finished()
    return time.perf_counter() - began


async def event_delays(client: Talk, rate: int, count: int) -> list[float]:
    """Seconds from the moment in which a turn emits each token until it is here."""
    session = await open_session(client)
    times: list[float] = []

    def hear(message: Message) -> None:
        now = time.monotonic()
        text = message.get_payload_as_bytes()
        if b'"message.delta"' in text:
            times.append(now - json.loads(text)["params"]["payload"]["t"])
        elif b'"message.complete"' in text:
            client.finish()

    client.listen(hear)
    client.send(request("stream", {"session_id": session, "count": count, "rate": rate}))
    await client.finished()
    return times


async def repeat(act: Callable[[], Awaitable[None]], until: float) -> list[float]:
    """Seconds that each *act* took, one every 5 ms until then, one at least."""
    times: list[float] = []
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        await act()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return times


async def ping_in_turn(clients: Sequence[Talk], seconds: float, interval: float) -> None:
    """Ping each client's server every *interval*, evenly spread, for so long."""
    began = time.perf_counter()
    pause = interval / len(clients)
    waiting: list[asyncio.Task[None]] = []
    for number in range(round(seconds / pause)):
        late = time.perf_counter() - began - number * pause
        if late < 0:
            await asyncio.sleep(-late)
        waiting.append(asyncio.ensure_future(clients[number % len(clients)].ping()))
    await asyncio.gather(*waiting)


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
