"""Clients that measure: one on a WebSocket, by picows, which is compiled, and one on a pipe.

They react to messages in callbacks: a future for each answer would take as much time as some of
the servers need.
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
#: Bytes that one read of a pipe may return.
PIPE_READ: Final = 1 << 20

_ids = itertools.count(1)


def request(method: str, params: dict[str, Any], identity: int | None = None) -> bytes:
    """One request's text; without *identity* it gets an id of its own."""
    number = next(_ids) if identity is None else identity
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(call, separators=(",", ":")).encode()


def masked_frame(text: bytes) -> bytes:
    """*text*, below 64 KiB, as a client's whole WebSocket frame (RFC 6455, section 5.2)."""
    size, mask = len(text), os.urandom(4)
    head = bytes((0x81, 0x80 | size)) if size < 126 else b"\x81\xfe" + size.to_bytes(2, "big")
    stream = (mask * (size // 4 + 1))[:size]
    return head + mask + (int.from_bytes(text) ^ int.from_bytes(stream)).to_bytes(size)


class Client(WSListener):
    """A client on a WebSocket; from the start it waits for the server's `gateway.ready`."""

    transport: WSTransport

    def __init__(self) -> None:
        super().__init__()
        self._done: asyncio.Future[None] | None = None
        self._ponged: asyncio.Future[None] | None = None
        self.expect(1)

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done (picows calls this)."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A WebSocket frame has come (picows calls this)."""
        if frame.msg_type == WSMsgType.TEXT:
            self.receive(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG and self._ponged and not self._ponged.done():
            self._ponged.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone (picows calls this)."""
        self.lost()

    def send(self, text: bytes) -> None:
        """Send one message of any size."""
        self.transport.send(WSMsgType.TEXT, text)

    def framed(self, text: bytes) -> bytes:
        """*text*, below 64 KiB, as `write` takes it."""
        return masked_frame(text)

    def write(self, frames: bytes) -> None:
        """Send many messages at once: results of `framed`, joined."""
        self.transport.underlying_transport.write(frames)

    def stop_reading(self) -> None:
        """Read nothing more from the socket, so that the kernel's buffers fill up."""
        self.transport.underlying_transport.pause_reading()

    async def ping(self) -> None:
        """Send a ping and wait for its pong. Raises `TimeoutError`."""
        self._ponged = asyncio.get_running_loop().create_future()
        self.transport.send_ping(b"bench")
        async with asyncio.timeout(PATIENCE):
            await self._ponged

    async def close(self) -> None:
        """Drop the connection without a closing handshake."""
        self._done = None
        self.transport.disconnect(graceful=False)
        await self.transport.wait_disconnected()

    def listen(self, receive: Callable[[bytes], None]) -> None:
        """Hand every message to *receive* until it calls `finish`."""
        self._done = asyncio.get_running_loop().create_future()
        self.receive = receive

    def finish(self, error: Exception | None = None) -> None:
        """End the wait of `finished`, with *error* if there is one."""
        self.receive = lambda text: None
        if self._done is not None and not self._done.done():
            self._done.set_exception(error) if error else self._done.set_result(None)

    def lost(self) -> None:
        """The connection is gone: `finished` raises `ConnectionError`."""
        self.finish(ConnectionError("the server closed the connection"))

    async def finished(self, patience: float = PATIENCE) -> None:
        """Wait for `finish`. Raises `TimeoutError` after *patience* seconds."""
        assert self._done is not None
        async with asyncio.timeout(patience):
            await self._done

    def expect(self, count: int) -> None:
        """`finish` once *count* messages have come."""
        left = itertools.count(count - 1, -1)
        self.listen(lambda text: None if next(left) else self.finish())

    async def call(self, method: str, params: dict[str, Any]) -> Any:
        """Send one request and return its result. Raises `ValueError` for an error answer."""
        text = request(method, params)
        identity, found = json.loads(text)["id"], {}

        def look(text: bytes) -> None:
            answer = json.loads(text)
            if answer.get("id") == identity:
                found.update(answer)
                self.finish()

        self.listen(look)
        self.send(text)
        await self.finished()
        if "error" in found:
            raise ValueError(f"{method}: {found['error']}")
        return found["result"]


class PipeClient(Client):
    """JSON lines from and to a process. There is one at a time; `close` leaves the pipe open."""

    def __init__(self, reading: int, writing: int) -> None:
        super().__init__()
        self.finish()  # Its `gateway.ready` has been read.
        self._reading, self._writing = reading, writing
        self._parts: list[bytes] = []  # The beginning of a line whose end has not come.
        os.set_blocking(reading, False)
        asyncio.get_running_loop().add_reader(reading, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._reading, PIPE_READ)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            self.lost()
            return
        first, *lines = data.split(b"\n")
        self._parts.append(first)
        for line in lines:
            self.receive(b"".join(self._parts))
            self._parts = [line]

    def send(self, text: bytes) -> None:
        """Send one line."""
        self.write(self.framed(text))

    def framed(self, text: bytes) -> bytes:
        """*text* as a line."""
        return text + b"\n"

    def write(self, frames: bytes) -> None:
        """Write lines. Callers keep less than a pipe's 64 KiB under way."""
        os.write(self._writing, frames)

    async def close(self) -> None:
        """Stop reading the pipe; the next client goes on with it."""
        self._done = None
        asyncio.get_running_loop().remove_reader(self._reading)


async def connect(url: str) -> Client:
    """A client that has received its `gateway.ready`."""
    _transport, client = await ws_connect(Client, url, max_frame_size=MAX_FRAME)
    assert isinstance(client, Client)
    await client.finished()
    return client


async def connect_many(url: str, count: int, at_once: int = 8) -> list[Client]:
    """*count* clients, with *at_once* handshakes under way."""
    clients: list[Client] = []
    while len(clients) < count:
        some = min(at_once, count - len(clients))
        clients += await asyncio.gather(*(connect(url) for _ in range(some)))
    return clients


async def close_all(clients: Sequence[Client]) -> None:
    """Disconnect all *clients*."""
    await asyncio.gather(*(client.close() for client in clients))
