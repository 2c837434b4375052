"""A client on a WebSocket, by picows, which is compiled."""

from __future__ import annotations

import asyncio

from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from hermes_twisted.testing.wire import client_frame

from .traffic import PATIENCE, Client


class WebSocketClient(Client, WSListener):
    """A client on a WebSocket; picows calls the methods `on_ws_...`."""

    transport: WSTransport
    _pong: asyncio.Future[None]

    def on_ws_connected(self, transport: WSTransport) -> None:
        self.transport = transport
        self.expect(1)  # The server's `gateway.ready`.

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.TEXT:
            self.receive(frame.get_payload_as_bytes())
        elif frame.msg_type == WSMsgType.PONG and not self._pong.done():
            self._pong.set_result(None)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self.finish(ConnectionError("the server closed the connection"))

    def send(self, text: bytes) -> None:
        self.transport.send(WSMsgType.TEXT, text)

    def framed(self, text: bytes) -> bytes:
        return client_frame(text)

    def write(self, frames: bytes) -> None:
        self.transport.underlying_transport.write(frames)

    def stop_reading(self) -> None:
        """Read nothing more from the socket, so that the kernel's buffers fill up."""
        self.transport.underlying_transport.pause_reading()

    async def ping(self) -> None:
        """Send a ping and wait for its pong. Raises `TimeoutError`."""
        self._pong = asyncio.get_running_loop().create_future()
        self.transport.send_ping(b"bench")
        await asyncio.wait_for(self._pong, PATIENCE)

    async def close(self) -> None:
        """Drop the connection without a closing handshake."""
        assert not self.transport.is_disconnected
        self.transport.disconnect(graceful=False)
        await self.transport.wait_disconnected()


async def connect(url: str) -> WebSocketClient:
    """Return a client that has received its `gateway.ready`."""
    _transport, client = await ws_connect(WebSocketClient, url, max_frame_size=1 << 26)
    assert isinstance(client, WebSocketClient)
    await client.finished()
    return client
