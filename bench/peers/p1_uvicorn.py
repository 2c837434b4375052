"""P1, the peer, run under Hermes' own Python: its socket handler under FastAPI and uvicorn.

As `hermes_cli.web_server` starts it: uvicorn with these options, on asyncio's loop.
Its admission of clients is left out, which is to its advantage.
"""

import pkgutil
import sys

import fastapi
import tui_gateway
import uvicorn

# Where the stub's package comes first on the path, `tui_gateway.server` is the stub's. What
# it lacks (`tui_gateway.ws`) is found in Hermes' package, which is further down the path.
tui_gateway.__path__ = pkgutil.extend_path(tui_gateway.__path__, "tui_gateway")

from tui_gateway.ws import handle_ws  # noqa: E402

app = fastapi.FastAPI()


@app.websocket("/api/ws")
async def attach(ws: fastapi.WebSocket) -> None:
    await handle_ws(ws)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


if __name__ == "__main__":
    options = {"loop": "asyncio", "proxy_headers": False, "log_level": "warning"}
    pings = {"ws_ping_interval": None, "ws_ping_timeout": None}
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), **options, **pings)
