"""Clients that measure, and what they do: they react to messages in callbacks.

A future for each answer would take as much time as some of the servers need.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import math
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

#: Seconds after which a measurement is given up.
PATIENCE: Final = 60.0
#: Of the size of the terminal UI's small requests.
PARAMS: Final = {"text": "what is in this directory?", "cols": 80}

_ids = itertools.count(1)


def request(method: str, params: dict[str, Any], identity: int = 0) -> bytes:
    """Return one request's text; without *identity* it gets an id of its own."""
    call = {"jsonrpc": "2.0", "id": identity or next(_ids), "method": method, "params": params}
    return json.dumps(call, separators=(",", ":")).encode()


class Client:
    """The part of a client that does not depend on its transport.

    Subclasses define `close` and `write`, which sends results of `framed`, one or many joined.
    """

    receive: Callable[[bytes], None]
    _done: asyncio.Future[None]

    def send(self, text: bytes) -> None:
        self.write(self.framed(text))

    def framed(self, text: bytes) -> bytes:
        """Return *text* as a line."""
        return text + b"\n"

    def listen(self, receive: Callable[[bytes], None]) -> None:
        """Hand every message to *receive* until it calls `finish`."""
        self.receive = receive
        self._done = asyncio.get_running_loop().create_future()

    def finish(self, error: Exception | None = None) -> None:
        """End the wait of `finished`, which raises *error* if there is one."""
        self.receive = lambda text: None
        if not self._done.done():
            self._done.set_exception(error) if error else self._done.set_result(None)

    async def finished(self) -> None:
        """Wait for `finish`. Raises `TimeoutError` after `PATIENCE`."""
        await asyncio.wait_for(self._done, PATIENCE)

    def expect(self, count: int) -> None:
        """`finish` once *count* messages have come."""
        left = itertools.count(count - 1, -1)
        self.listen(lambda text: None if next(left) else self.finish())

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """Send one request and return its result. Raises `ValueError` for an error answer."""
        answer: dict[str, Any] = {}

        def look(text: bytes) -> None:
            message = json.loads(text)
            if "method" not in message:
                answer.update(message)
                self.finish()

        self.listen(look)
        self.send(request(method, params))
        await self.finished()
        if "error" in answer:
            raise ValueError(f"{method}: {answer['error']}")
        return answer["result"]


class PipeClient(Client):
    """JSON lines from and to a process. There is one at a time; `close` leaves the pipe open."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading, self._writing = reading, writing
        self._parts: list[bytes] = []  # The beginning of a line whose end has not come.
        self.expect(0)  # Its `gateway.ready` has been read.
        os.set_blocking(reading, False)
        asyncio.get_running_loop().add_reader(reading, self._read)

    def _read(self) -> None:
        first, *lines = os.read(self._reading, 1 << 20).split(b"\n")
        if not first and not lines:
            asyncio.get_running_loop().remove_reader(self._reading)
            self.finish(ConnectionError("the server closed its pipe"))
        self._parts.append(first)
        for line in lines:
            self.receive(b"".join(self._parts))
            self._parts = [line]

    def write(self, frames: bytes) -> None:
        """Write lines. Callers keep less than a pipe's 64 KiB under way."""
        os.write(self._writing, frames)

    async def close(self) -> None:
        """Stop reading the pipe; the next client goes on with it."""
        asyncio.get_running_loop().remove_reader(self._reading)


async def close_all(clients: Iterable[Client]) -> None:
    await asyncio.gather(*(client.close() for client in clients))


async def round_trips(
    client: Client, texts: Sequence[bytes], until: float = math.inf
) -> list[float]:
    """Return the seconds of each request, one after the other, without a tenth that warms up.

    Ends early at the time *until*.
    """
    times: list[float] = []
    began = 0.0

    def ask() -> None:
        nonlocal began
        text = texts[len(times)]
        began = time.perf_counter()
        client.send(text)

    def answered(text: bytes) -> None:
        now = time.perf_counter()
        if b'"method"' in text[:64]:
            return  # An event between request and answer.
        times.append(now - began)
        if len(times) < len(texts) and now < until:
            ask()
        else:
            client.finish()

    client.listen(answered)
    ask()
    await client.finished()
    return times[len(texts) // 10 :] or times


async def pipelines(clients: Sequence[Client], count: int, batch: int) -> float:
    """Return the answers a second of clients that have at most two batches of requests under way.

    Each client sends *count* requests, one write a batch; all are made before.
    """

    def prepare(client: Client) -> bytes:
        frames = [client.framed(request("echo", PARAMS)) for _ in range(count)]
        writes = [b"".join(frames[first : first + batch]) for first in range(0, count, batch)]
        answers = itertools.count(1)

        def answered(_text: bytes) -> None:
            answer = next(answers)
            if answer == count:
                client.finish()
            elif answer % batch == 0 and writes:
                client.write(writes.pop())

        client.listen(answered)
        return writes.pop() + writes.pop()

    first = [(client, prepare(client)) for client in clients]
    began = time.perf_counter()
    for client, frames in first:
        client.write(frames)
    for client in clients:
        await client.finished()
    return len(clients) * count / (time.perf_counter() - began)


async def open_session(client: Client) -> str:
    session: str = (await client.call("session.create", {"cols": 80}))["session_id"]
    return session


async def flood(clients: Sequence[Client], count: int) -> float:
    """Return the events a second of sessions, one a client, that emit *count* without pause."""
    sessions = [await open_session(client) for client in clients]
    began = time.perf_counter()
    for client, session in zip(clients, sessions, strict=True):
        client.expect(count + 3)  # The answer, and the turn's beginning and end.
        client.send(request("stream", {"session_id": session, "count": count}))
    for client in clients:
        await client.finished()
    return len(clients) * count / (time.perf_counter() - began)


async def turn_delays(client: Client, method: str, params: dict[str, Any]) -> list[float]:
    """Run a turn; return the seconds from the moment that each token names until it has come."""
    delays: list[float] = []

    def receive(text: bytes) -> None:
        now = time.monotonic()
        message = json.loads(text)
        if "error" in message:
            client.finish(ValueError(f"{method}: {message['error']}"))
        event = message.get("params", {})
        if event.get("type") == "message.delta":
            payload = event["payload"]  # The stub's has a time; a model's words are times.
            emitted = [payload["t"]] if "t" in payload else map(float, payload["text"].split())
            delays.extend(now - moment for moment in emitted)
        elif event.get("type") == "message.complete":
            client.finish()

    client.listen(receive)
    client.send(request(method, params))
    await client.finished()
    return delays


async def turn(client: Client, session: str, prompt: str) -> list[float]:
    """Run a turn of a real Hermes; return the delays of its words."""
    return await turn_delays(client, "prompt.submit", {"session_id": session, "text": prompt})


async def event_delays(client: Client, rate: int, count: int) -> list[float]:
    """Return the delays of a new session's tokens."""
    stream = {"session_id": await open_session(client), "count": count, "rate": rate}
    return await turn_delays(client, "stream", stream)


async def repeat(act: Callable[[], Awaitable[object]], until: float) -> list[float]:
    """Return the seconds of each *act*: one every 5 ms until the time *until*, at least one."""
    times: list[float] = []
    while not times or time.perf_counter() < until:
        began = time.perf_counter()
        await act()
        times.append(time.perf_counter() - began)
        await asyncio.sleep(0.005)
    return times


async def in_turn(act: Callable[[int], Awaitable[object]], count: int, interval: float) -> None:
    """Begin *count* acts, one every *interval* seconds, and wait for all of them."""
    began = time.perf_counter()
    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            await asyncio.sleep(began + number * interval - time.perf_counter())
            tasks.create_task(act(number))


def status(port: int, page: str) -> int:
    """Return the HTTP status of *page*, by a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    with contextlib.closing(connection):
        connection.request("GET", page)
        return connection.getresponse().status


async def health(port: int) -> None:
    """GET /health on a new connection, in a thread."""
    assert await asyncio.to_thread(status, port, "/health") == http.HTTPStatus.OK
