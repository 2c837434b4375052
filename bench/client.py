"""A WebSocket client that costs less than any of the servers: picows, compiled.

What a frame does is decided in its callback: a future per answer would add as much
time as some of the servers need.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
from collections.abc import Callable, Sequence
from typing import Any, Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

#: Seconds after which a measurement is given up.
PATIENCE: Final = 30.0
MAX_FRAME: Final = 64 * 1024 * 1024

#: Called with each text frame.
Hear = Callable[[WSFrame], None]

_ids = itertools.count(1)


def request(method: str, params: dict[str, Any], identity: int | None = None) -> bytes:
    """One request's text; without *identity* it gets an id of its own."""
    number = next(_ids) if identity is None else identity
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(call, separators=(",", ":")).encode()


def masked(text: bytes) -> bytes:
    """*text*, below 64 KiB, as a client's whole frame, so that many go out in one write."""
    size, mask = len(text), os.urandom(4)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    stream = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(size)
    return head + mask + body


class Client(WSListener):
    """One attached terminal. `hear` is whatever the measurement wants to do with a frame."""

    transport: WSTransport

    def __init__(self) -> None:
        self._done: asyncio.Future[None] | None = None
        self._hear: Hear = lambda frame: None
        self._pong: Callable[[], None] = lambda: None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if frame.msg_type == WSMsgType.TEXT:
            self._hear(frame)
        elif frame.msg_type == WSMsgType.PONG:
            self._pong()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone: whoever waits for it need not."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))

    def send(self, text: bytes) -> None:
        """Send one text message."""
        self.transport.send(WSMsgType.TEXT, text)

    def write(self, frames: bytes) -> None:
        """Send what `masked` has made."""
        self.transport.underlying_transport.write(frames)

    def listen(self, hear: Hear) -> None:
        """From now on *hear* gets the frames, until it calls `finish`."""
        self._done = asyncio.get_running_loop().create_future()
        self._hear = hear

    def finish(self) -> None:
        """The measurement is over."""
        assert self._done is not None
        self._hear = lambda frame: None
        if not self._done.done():
            self._done.set_result(None)

    async def finished(self) -> None:
        """Wait for `finish`."""
        assert self._done is not None
        async with asyncio.timeout(PATIENCE):
            await self._done

    def expect(self, count: int) -> None:
        """`finished` once so many frames have come."""
        left = count

        def one(frame: WSFrame) -> None:
            nonlocal left
            left -= 1
            if not left:
                self.finish()

        self.listen(one)

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request; returns its result."""
        identity = next(_ids)
        found: dict[str, Any] = {}

        def look(frame: WSFrame) -> None:
            answer = json.loads(frame.get_payload_as_bytes())
            if answer.get("id") == identity:
                found.update(answer["result"])
                self.finish()

        self.listen(look)
        self.send(request(method, params, identity))
        await self.finished()
        return found

    async def ping(self) -> None:
        """A WebSocket ping and its pong."""
        ponged = asyncio.get_running_loop().create_future()
        self._pong = lambda: None if ponged.done() else ponged.set_result(None)
        self.transport.send_ping(b"bench")
        async with asyncio.timeout(PATIENCE):
            await ponged

    async def close(self) -> None:
        """Drop the connection."""
        self._done = None
        self.transport.disconnect()
        await self.transport.wait_disconnected()


class _Newcomer(Client):
    """Listens from its first moment: Hermes' greeting may come with the handshake."""

    def __init__(self) -> None:
        super().__init__()
        self.expect(1)


async def connect(url: str) -> Client:
    """A client that has got its `gateway.ready`."""
    _transport, client = await ws_connect(_Newcomer, url, max_frame_size=MAX_FRAME)
    assert isinstance(client, Client)
    await client.finished()
    return client


async def connect_many(url: str, count: int, at_once: int = 8) -> list[Client]:
    """So many clients; a few handshakes at a time."""
    clients: list[Client] = []
    while len(clients) < count:
        some = min(at_once, count - len(clients))
        clients += await asyncio.gather(*(connect(url) for _ in range(some)))
    return clients


async def close_all(clients: Sequence[Client]) -> None:
    """Drop all of them."""
    await asyncio.gather(*(client.close() for client in clients))
