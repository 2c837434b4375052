"""P2: an aiohttp handler of the kind proposed for Hermes' API server.

Each request goes to a thread and each write of a thread waits for the loop.
"""

import asyncio
import json
import sys
from typing import Any

from aiohttp import WSMsgType, web
from tui_gateway import server

WRITE_TIMEOUT = 10.0
MAX_MESSAGE = 16 * 1024 * 1024


class Transport:
    """What Hermes writes to."""

    def __init__(self, ws: web.WebSocketResponse) -> None:
        self._ws = ws
        self._loop = asyncio.get_running_loop()

    def write(self, obj: dict[str, Any]) -> bool:
        sending = self._ws.send_str(json.dumps(obj, ensure_ascii=False))
        try:
            asyncio.run_coroutine_threadsafe(sending, self._loop).result(WRITE_TIMEOUT)
        except (TimeoutError, ConnectionError):
            return False
        return True

    def close(self) -> None:
        """Nothing is kept."""


async def attach(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE)
    await ws.prepare(request)
    transport = Transport(ws)
    params = {"type": "gateway.ready", "payload": {"skin": server.resolve_skin()}}
    await ws.send_str(json.dumps({"jsonrpc": "2.0", "method": "event", "params": params}))
    try:
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                break
            answer = await asyncio.to_thread(server.dispatch, json.loads(message.data), transport)
            if answer is not None:
                await ws.send_str(json.dumps(answer, ensure_ascii=False))
    finally:
        await asyncio.to_thread(server._close_sessions_for_transport, transport)
    return ws


async def health(_request: web.Request) -> web.Response:
    return web.json_response({"status": "ok"})


if __name__ == "__main__":
    app = web.Application()
    app.add_routes([web.get("/api/ws", attach), web.get("/health", health)])
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=None, print=None)
