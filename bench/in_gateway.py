"""`python -m bench.in_gateway`: the attach server inside a gateway's process, and beside it.

What a terminal notices of the gateway's chats: the latency of its own turn's tokens and of
WebSocket pings. Real Hermes, and a model that says the time.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import secrets
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

from .clients import connect
from .real_hermes import Terminal, configure, time_model
from .rounds import run
from .servers import OUR_COMMAND, environment, free_port, start_listening, wait_until_ok
from .stats import digits, percentile, ratio, rotated, short, table
from .traffic import repeat

INSIDE: Final = "inside"
BESIDE: Final = "beside"
#: Words of the measured turn, and how many of them a second.
WORDS, RATE = 150, 50

Found = defaultdict[str, defaultdict[str, list[float]]]


class Site:
    """A gateway, and the attach server inside it or beside it. Raises `CannotStart`."""

    def __init__(self, name: str, python: Path, place: Path, model: str, stack: ExitStack) -> None:
        self._key = secrets.token_urlsafe(32)
        port, self._api = free_port(), free_port()
        self._url = f"ws://127.0.0.1:{port}/api/ws?token={self._key}"
        configure(place, model, "attach" if name == INSIDE else "")
        variables = environment(
            place,
            API_SERVER_ENABLED="true",
            API_SERVER_KEY=self._key,
            API_SERVER_PORT=str(self._api),
            HERMES_ATTACH_KEY=self._key,
            HERMES_ATTACH_PORT=str(port),
        )
        variables["PATH"] = f"{python.parent}:{variables['PATH']}"
        command = [str(python.with_name("hermes")), "gateway", "run"]
        gateway = start_listening(command, variables, self._api, "/health")
        stack.callback(gateway.stop)
        if name == INSIDE:
            wait_until_ok(gateway, port, "/ready")
        else:
            serve = [str(python), "-c", OUR_COMMAND, "serve", "--hermes-python", str(python)]
            stack.callback(start_listening(serve, variables, port, "/ready").stop)

    def chat(self, stop: threading.Event) -> None:
        """Run turns of a REST client one after another, as fast as the model speaks."""
        body = {"stream": True, "messages": [{"role": "user", "content": "tokens=3000"}]}
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        while not stop.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self._api)
            connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
            answer = connection.getresponse()
            while answer.read1(65536) and not stop.is_set():
                pass
            connection.close()

    async def measure(self, chats: int) -> dict[str, list[float]]:
        """Seconds of a turn's events, and of pings during it, beside *chats* chats."""
        client = await connect(self._url)
        terminal = await Terminal.attach(client)
        stop = threading.Event()
        threads = [threading.Thread(target=self.chat, args=(stop,)) for _ in range(chats)]
        for thread in threads:
            thread.start()
        await asyncio.sleep(2 if chats else 0)
        until = time.perf_counter() + WORDS / RATE
        delays, pings = await asyncio.gather(
            terminal.turn(f"tokens={WORDS} rate={RATE}"), repeat(client.ping, until)
        )
        stop.set()
        for thread in threads:
            thread.join()
        await client.close()
        return {"event": delays, "ping": pings}


def main() -> None:
    """Measure in turns; print medians and their ratio as a Markdown table."""
    parser = argparse.ArgumentParser(prog="python -m bench.in_gateway", description=__doc__)
    parser.add_argument("python", type=Path, help="of an environment with hermes and this project")
    parser.add_argument("--rounds", type=int, default=5, choices=range(1, 51), metavar="N")
    parser.add_argument("--chats", type=int, default=2, choices=range(1, 17), metavar="N")
    options = parser.parse_args()
    found: Found = defaultdict(lambda: defaultdict(list))
    with time_model() as url, ExitStack() as stack:
        sites = {}
        for name in (INSIDE, BESIDE):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
            sites[name] = Site(name, options.python.absolute(), place, url, stack)
        for number in range(options.rounds):
            for chats in (0, options.chats):
                for name in rotated(list(sites), number):
                    for what, times in run(sites[name].measure(chats)).items():
                        for percent in (50, 99):
                            row = f"{chats or 'no'} chats: {what}, p{percent} ms"
                            found[row][name].append(percentile(times, percent) * 1e3)
    rows = []
    for row, values in found.items():
        inside, beside = values[INSIDE], values[BESIDE]
        medians = digits(median(inside)), digits(median(beside))
        rows.append([row, *medians, short(ratio(inside, beside) or 0)])
    print(table(["", INSIDE, BESIDE, f"{INSIDE} ÷ {BESIDE}"], rows))


if __name__ == "__main__":
    main()
