"""What the bench's clients do, with a server that answers in memory, and at a real pipe."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from bench.traffic import (
    Client,
    PipeClient,
    event_delays,
    flood,
    in_turn,
    pipelines,
    request,
    round_trips,
)

T = TypeVar("T")


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """On a loop of its own; the tests' own runs in this thread."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, coroutine).result()


class Echo(Client):
    """Answers everything at once; a stream is three events around its own."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.pings = 0
        self.under_way = self.most_under_way = 0

    def write(self, frames: bytes) -> None:
        for text in frames.splitlines():
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            asyncio.get_running_loop().call_soon(self._answer, json.loads(text))

    async def ping(self) -> None:
        self.pings += 1

    def _answer(self, call: dict[str, Any]) -> None:
        self.under_way -= 1
        self.asked.append(call["method"])
        if call["method"] == "stream":
            self._say(method="event", params={"type": "message.start"})
        self._say(id=call["id"], result={"session_id": "s"})
        if call["method"] == "stream":
            for _ in range(call["params"]["count"]):
                payload = {"t": 0.0}
                self._say(method="event", params={"type": "message.delta", "payload": payload})
            self._say(method="event", params={"type": "message.complete"})

    def _say(self, **frame: Any) -> None:
        self.receive(json.dumps({"jsonrpc": "2.0", **frame}).encode())


def test_round_trips_leave_out_the_warm_up() -> None:
    async def measure() -> None:
        client = Echo()
        times = await round_trips(client, [request("echo", {}) for _ in range(20)])
        assert len(client.asked) == 20
        assert len(times) == 18
        assert client.most_under_way == 1

    run(measure())


def test_pipelines_keep_two_batches_under_way() -> None:
    async def measure() -> None:
        clients = [Echo(), Echo()]
        await pipelines(clients, 64, batch=8)
        assert [len(client.asked) for client in clients] == [64, 64]
        assert [client.most_under_way for client in clients] == [16, 16]

    run(measure())


def test_flood_counts_every_event() -> None:
    async def measure() -> None:
        client = Echo()
        assert await flood([client], 50) > 0
        assert client.asked == ["session.create", "stream"]

    run(measure())


def test_event_delays() -> None:
    """One for each token, and none for what else comes."""

    async def measure() -> list[float]:
        return await event_delays(Echo(), rate=100, count=7)

    assert len(run(measure())) == 7


def test_pings_are_spread() -> None:
    async def measure() -> None:
        clients = [Echo() for _ in range(4)]
        await in_turn(lambda number: clients[number % 4].ping(), 8, 0.0025)
        assert [client.pings for client in clients] == [2, 2, 2, 2]

    run(measure())


def test_error_answer() -> None:
    class Refusing(Echo):
        def _answer(self, call: dict[str, Any]) -> None:
            self._say(id=call["id"], error={"code": -32601, "message": "unknown"})

    async def call(method: str) -> None:
        await Refusing().call(method, {})

    with pytest.raises(ValueError, match=r"no\.such.*unknown"):
        run(call("no.such"))


def test_pipe() -> None:
    """Lines come whole, however they were cut; the end of the pipe ends the wait."""

    async def measure() -> None:
        reading, output = os.pipe()
        entry, writing = os.pipe()
        client = PipeClient(reading, writing)
        received: list[bytes] = []
        big = b"x" * 300_000

        def receive(text: bytes) -> None:
            received.append(text)
            if len(received) == 3:
                client.finish()

        client.listen(receive)
        writer = threading.Thread(target=_write, args=(output, b"one\nt", b"wo\n" + big, b"\n"))
        writer.start()
        await client.finished()
        writer.join()
        assert received == [b"one", b"two", big]
        client.send(b"answer")
        assert os.read(entry, 100) == b"answer\n"
        client.expect(1)
        os.close(output)
        with pytest.raises(ConnectionError):
            await client.finished()
        for descriptor in (reading, entry, writing):
            os.close(descriptor)

    run(measure())


def _write(output: int, *parts: bytes) -> None:
    for part in parts:
        rest = memoryview(part)
        while rest:
            rest = rest[os.write(output, rest) :]
