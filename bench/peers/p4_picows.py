"""P4, the floor: the same requests and events by a compiled server, with nothing around it.

No admission, no limits, no order among threads; requests run on the loop. Nobody could
serve Hermes like this; nobody will be quicker either.
"""

import asyncio
import sys
import threading
from collections import deque
from typing import Any

import orjson
import uvloop
from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
    ws_create_server,
)
from tui_gateway import server


class Terminal(WSListener):
    """One client, and the transport that Hermes writes to."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: deque[bytes] = deque()
        params = {"type": "gateway.ready", "payload": {"skin": server.resolve_skin()}}
        self.write({"jsonrpc": "2.0", "method": "event", "params": params})

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type != WSMsgType.TEXT:
            return
        call = orjson.loads(frame.get_payload_as_memoryview())
        if call["method"] == "burn":
            threading.Thread(target=self._run, args=(call,)).start()
        else:
            self._run(call)

    def _run(self, call: dict[str, Any]) -> None:
        answer = server.dispatch(call, self)
        if answer is not None:
            self.write(answer)

    def write(self, obj: dict[str, Any]) -> bool:
        """From the loop at once, from other threads with one wake-up for many."""
        text = orjson.dumps(obj)
        if threading.get_ident() == self._thread:
            self._transport.send(WSMsgType.TEXT, text)
            return True
        first = not self._waiting
        self._waiting.append(text)
        if first:
            self._loop.call_soon_threadsafe(self._flush)
        return True

    def _flush(self) -> None:
        waiting, send = self._waiting, self._transport.send
        while waiting:
            send(WSMsgType.TEXT, waiting[0])
            waiting.popleft()  # Only now: whoever finds it empty wakes us.

    def close(self) -> None:
        """Nothing is kept."""

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        server._close_sessions_for_transport(self)


def route(request: WSUpgradeRequest) -> Terminal | WSUpgradeResponseWithListener:
    if request.path == b"/health":
        answer = WSUpgradeResponse.create_ok_response(b"ok")
        return WSUpgradeResponseWithListener(answer, None)
    return Terminal()


async def serve(port: int) -> None:
    listening = await ws_create_server(route, "127.0.0.1", port, backlog=2048)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
