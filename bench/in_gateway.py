"""`python -m bench.in_gateway`: the attach server inside a gateway's process, and beside it.

What a terminal notices of the gateway's chats: the latency of its own turn's tokens and of
WebSocket pings. Real Hermes, and a model that says the time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import http.client
import json
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Final

import uvloop

from .measurements import time_model
from .results import Found, Part, digits, percentile, rotated, table
from .servers import KEY, OUR_COMMAND, Server, configure, free_port
from .traffic import open_session, repeat, turn

INSIDE: Final = "inside"
BESIDE: Final = "beside"
#: Words of the measured turn, and how many of them a second.
WORDS, RATE = 150, 50
#: Chats that run meanwhile, or none.
CHATS: Final = 2


def start(name: str, python: Path, model: str, stack: contextlib.ExitStack) -> tuple[Server, int]:
    """Start a gateway and the attach server inside or beside it; *stack* stops both.

    Returns the process that terminals attach to, and the port of the gateway's API.
    """
    place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    configure(place, model, *(["attach"] if name == INSIDE else []))
    port, api = free_port(), free_port()
    variables = {
        "API_SERVER_ENABLED": "true",
        "API_SERVER_KEY": KEY,
        "API_SERVER_PORT": str(api),
        "HERMES_ATTACH_PORT": str(port),
        "PATH": f"{python.parent}:{os.environ['PATH']}",
    }
    gateway, ours = [str(python.with_name("hermes")), "gateway", "run"], (port, "/ready")
    server = Server(place, gateway, *(ours if name == INSIDE else (api, "/health")), **variables)
    stack.callback(server.stop)
    server.wait_until_ok(api, "/health")
    if name == BESIDE:
        command = [str(python), "-c", OUR_COMMAND, "serve", "--hermes-python", str(python)]
        server = Server(place, command, *ours, **variables)
        stack.callback(server.stop)
    return server, api


def chat(api: int, stop: threading.Event) -> None:
    """Run turns of a REST client one after another, as fast as the model speaks."""
    body = {"stream": True, "messages": [{"role": "user", "content": "tokens=3000"}]}
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    while not stop.is_set():
        connection = http.client.HTTPConnection("127.0.0.1", api)
        connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
        answer = connection.getresponse()
        while answer.read1(65536) and not stop.is_set():
            pass
        connection.close()


async def measure(server: Server, api: int, chats: int) -> Found:
    """Measure a turn's events, and pings during it, beside *chats* chats."""
    client = await server.connect()
    session = await open_session(client)
    await turn(client, session, "tokens=5")
    stop = threading.Event()
    with ThreadPoolExecutor() as pool:
        chatting = [pool.submit(chat, api, stop) for _ in range(chats)]
        await asyncio.sleep(2 if chats else 0)
        until = time.perf_counter() + WORDS / RATE
        words = turn(client, session, f"tokens={WORDS} rate={RATE}")
        events, pings = await asyncio.gather(words, repeat(client.ping, until))
        stop.set()
        for each in chatting:
            each.result()  # Raises what was raised in its thread.
    await client.close()
    return {
        f"{chats or 'no'} chats: {what}, p{percent} ms": percentile(times, percent) * 1e3
        for what, times in {"event": events, "ping": pings}.items()
        for percent in (50, 99)
    }


def main() -> None:
    """Measure in turns; print medians and their ratio as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m bench.in_gateway", description=__doc__)
    parser.add_argument("python", type=Path, help="of an environment with hermes and this project")
    parser.add_argument("--rounds", type=int, default=5, metavar="N")
    options = parser.parse_args()
    python, part = options.python.absolute(), Part([INSIDE, BESIDE], [], [])
    with time_model() as url, contextlib.ExitStack() as stack:
        running = {name: start(name, python, url, stack) for name in part.servers}
        for number in range(options.rounds):
            part.rounds.append({INSIDE: {}, BESIDE: {}})
            for chats in (0, CHATS):
                for name in rotated(part.servers, number):
                    found = uvloop.run(measure(*running[name], chats))
                    part.rounds[-1][name] |= found
    rows = []
    for key in part.rounds[0][INSIDE]:
        inside, beside = median(part.of(key, INSIDE)), median(part.of(key, BESIDE))
        rows.append([key, digits(inside), digits(beside), digits(inside / beside, 2)])
    print(table(["", INSIDE, BESIDE, f"{INSIDE} ÷ {BESIDE}"], rows))


if __name__ == "__main__":
    main()
