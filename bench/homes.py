"""`python -m bench.homes`: the two homes of the attach server, beside a gateway's chats.

What a terminal notices of the chats' turns: how late its own turn's tokens come and how
late a WebSocket ping is answered, in the gateway's process and beside it. Real Hermes, a
model that stamps each token with the time.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import os
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from .model import CONFIG, stamped_model, stamps
from .servers import ROOT, free_port

INSIDE: Final = "inside"
BESIDE: Final = "beside"
#: Tokens of the measured turn, and how many of them a second.
TOKENS, RATE = 150, 50
#: Seconds that a server may take to start.
START_LIMIT: Final = 60.0

_RUN: Final = "from hermes_twisted.cli.main import main; main()"

Table = defaultdict[str, defaultdict[str, list[float]]]


class Home:
    """A gateway, and the attach server inside it or beside it."""

    def __init__(self, name: str, python: Path, place: Path, model: str, stack: ExitStack) -> None:
        self.key = secrets.token_urlsafe(32)
        self.port, self.api = free_port(), free_port()
        plugins = "attach" if name == INSIDE else ""
        (place / "config.yaml").write_text(CONFIG.format(url=model, plugins=plugins))
        environment = {
            "PATH": f"{python.parent}:{os.defpath}",
            "HOME": str(place),
            "HERMES_HOME": str(place),
            "LANG": "C.UTF-8",
            "API_SERVER_ENABLED": "true",
            "API_SERVER_KEY": self.key,
            "API_SERVER_PORT": str(self.api),
            "HERMES_ATTACH_KEY": self.key,
            "HERMES_ATTACH_PORT": str(self.port),
        }
        commands = [[str(python.with_name("hermes")), "gateway", "run"]]
        if name == BESIDE:
            commands.append([str(python), "-c", _RUN, "serve", "--hermes-python", str(python)])
        for number, command in enumerate(commands):
            log = stack.enter_context((place / f"log-{number}").open("wb"))
            process = subprocess.Popen(
                command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
        for port, page in ((self.api, "/health"), (self.port, "/ready")):
            _wait_for(port, page)

    def chat(self, stop: threading.Event) -> None:
        """Turns of one REST client, one after another, as fast as the model speaks."""
        body = {"stream": True, "messages": [{"role": "user", "content": "tokens=3000"}]}
        headers = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.api)
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            while answer.read1(65536) and not stop.is_set():
                pass
            connection.close()

    async def measure(self, chats: int, table: Table, name: str) -> None:
        """One turn of a terminal, and pings during it, beside so many chats."""
        stop = threading.Event()
        threads = [threading.Thread(target=self.chat, args=(stop,)) for _ in range(chats)]
        async with connect(
            f"ws://127.0.0.1:{self.port}/api/ws?token={self.key}", proxy=None, compression=None
        ) as terminal:
            created = await _call(terminal, "session.create", {"cols": 80})
            session = created["session_id"]
            await self._turn(terminal, session, "tokens=5")  # The agent is made.
            for thread in threads:
                thread.start()
            await asyncio.sleep(2 if chats else 0)
            pings: list[float] = []
            pinging = asyncio.ensure_future(_ping(terminal, pings))
            delays = await self._turn(terminal, session, f"tokens={TOKENS} rate={RATE}")
            pinging.cancel()
        stop.set()
        for thread in threads:
            thread.join()
        row = f"{chats} chats" if chats else "quiet"
        for what, values in (("event", delays), ("ping", pings)):
            for share in (50, 99):
                value = quantiles(values, n=100, method="inclusive")[share - 1]
                table[f"{row}: {what}, p{share} ms"][name].append(value * 1e3)

    async def _turn(self, terminal: ClientConnection, session: str, text: str) -> list[float]:
        await terminal.send(_request("prompt.submit", {"session_id": session, "text": text}))
        delays: list[float] = []
        while True:
            frame = json.loads(await terminal.recv())
            now = time.monotonic_ns()
            params = frame.get("params", {})
            if params.get("type") == "message.delta":
                delays += [(now - stamp) / 1e9 for stamp in stamps(params["payload"]["text"])]
            elif params.get("type") == "message.complete":
                return delays


async def _ping(terminal: ClientConnection, times: list[float]) -> None:
    while True:
        began = time.monotonic()
        await (await terminal.ping())
        times.append(time.monotonic() - began)
        await asyncio.sleep(0.01)


def _request(method: str, params: dict[str, Any]) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": method, "method": method, "params": params})


async def _call(terminal: ClientConnection, method: str, params: dict[str, Any]) -> Any:
    await terminal.send(_request(method, params))
    while True:
        frame = json.loads(await terminal.recv())
        if frame.get("id") == method:
            return frame["result"]


def _wait_for(port: int, page: str) -> None:
    deadline = time.monotonic() + START_LIMIT
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", page)
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > deadline:
            sys.exit(f"nobody serves {page} on port {port}")
        time.sleep(0.1)


def main() -> None:
    """Measure in turns; print medians and their ratio as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m bench.homes", description=__doc__)
    parser.add_argument("python", type=Path, help="of an environment with hermes and this project")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="N")
    parser.add_argument("--chats", type=int, default=2, choices=range(1, 17), metavar="N")
    options = parser.parse_args()
    table: Table = defaultdict(lambda: defaultdict(list))
    with stamped_model() as url, ExitStack() as stack:
        homes = {}
        for name in (INSIDE, BESIDE):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            homes[name] = Home(name, options.python.absolute(), place, url, stack)
        for number in range(options.rounds):
            order = list(homes)[:: 1 if number % 2 else -1]
            for chats in (0, options.chats):
                for name in order:
                    asyncio.run(homes[name].measure(chats, table, name))
    print(f"| | {INSIDE} | {BESIDE} | {INSIDE} ÷ {BESIDE} |\n|---|---:|---:|---:|")
    for row, values in table.items():
        inside, beside = median(values[INSIDE]), median(values[BESIDE])
        print(f"| {row} | {inside:.3g} | {beside:.3g} | {inside / beside:.2g} |")


if __name__ == "__main__":
    main()
