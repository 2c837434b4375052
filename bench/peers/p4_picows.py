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
import picows
import uvloop
from tui_gateway import server


class Terminal(picows.WSListener):
    """One client, and the transport that Hermes writes to."""

    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._waiting: deque[bytes] = deque()
        params = {"type": "gateway.ready", "payload": {"skin": server.resolve_skin()}}
        self.write({"jsonrpc": "2.0", "method": "event", "params": params})

    def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
        if frame.msg_type != picows.WSMsgType.TEXT:
            return
        call = orjson.loads(frame.get_payload_as_memoryview())
        if call["method"] == "burn":
            threading.Thread(target=self._run, args=(call,)).start()
        else:
            self._run(call)

    def _run(self, call: dict[str, Any]) -> None:
        if (answer := server.dispatch(call, self)) is not None:
            self.write(answer)

    def write(self, obj: dict[str, Any]) -> bool:
        """From the loop at once, from other threads with one wake-up for many."""
        text = orjson.dumps(obj)
        if threading.get_ident() == self._thread:
            self._transport.send(picows.WSMsgType.TEXT, text)
            return True
        first = not self._waiting
        self._waiting.append(text)
        if first:
            self._loop.call_soon_threadsafe(self._flush)
        return True

    def _flush(self) -> None:
        waiting, send = self._waiting, self._transport.send
        while waiting:
            send(picows.WSMsgType.TEXT, waiting[0])
            waiting.popleft()  # Only now: whoever finds it empty wakes us.

    def close(self) -> None:
        """Nothing is kept."""

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        server._close_sessions_for_transport(self)


def route(request: picows.WSUpgradeRequest) -> Terminal | picows.WSUpgradeResponseWithListener:
    if request.path == b"/health":
        answer = picows.WSUpgradeResponse.create_ok_response(b"ok")
        return picows.WSUpgradeResponseWithListener(answer, None)
    return Terminal()


async def serve(port: int) -> None:
    listening = await picows.ws_create_server(route, "127.0.0.1", port, backlog=2048)
    await listening.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
