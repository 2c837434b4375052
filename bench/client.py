"""A WebSocket client that costs less than any of the servers: picows, compiled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from .masking import masked
from .talk import PATIENCE, Talk

MAX_FRAME: Final = 64 * 1024 * 1024


class Client(Talk, WSListener):
    """One attached terminal."""

    transport: WSTransport

    def __init__(self) -> None:
        super().__init__()
        self._pong: Callable[[], None] = lambda: None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """The handshake is done."""
        self.transport = transport

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A frame has come."""
        if frame.msg_type == WSMsgType.TEXT:
            self.hear(frame)
        elif frame.msg_type == WSMsgType.PONG:
            self._pong()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """The connection is gone."""
        self.lost()

    def send(self, text: bytes) -> None:
        """Send one text message."""
        self.transport.send(WSMsgType.TEXT, text)

    def framed(self, text: bytes) -> bytes:
        """A whole frame."""
        return masked(text)

    def write(self, frames: bytes) -> None:
        """Send what `framed` has made."""
        self.transport.underlying_transport.write(frames)

    def stop_reading(self) -> None:
        """Leave everything in the kernel's buffers."""
        self.transport.underlying_transport.pause_reading()

    async def ping(self) -> None:
        """A WebSocket ping and its pong."""
        ponged = asyncio.get_running_loop().create_future()
        self._pong = lambda: None if ponged.done() else ponged.set_result(None)
        self.transport.send_ping(b"bench")
        async with asyncio.timeout(PATIENCE):
            await ponged

    async def close(self) -> None:
        """Drop the connection."""
        self.forget()
        self.transport.disconnect(graceful=False)
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


async def close_all(clients: Sequence[Talk]) -> None:
    """Drop all of them."""
    await asyncio.gather(*(client.close() for client in clients))
