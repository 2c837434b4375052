"""The servers before a real Hermes: real requests, and turns of a model that streams the time."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from tests import fake_model

from .clients import Client, request
from .machine import measuring_other_load
from .results import Found, Part
from .rounds import run
from .servers import Server, Start, running
from .stats import percentile, rotated
from .traffic import round_trips

#: Requests by the key of their row: method, parameters, and how many.
REQUESTS: Final[Mapping[str, tuple[str, dict[str, Any], int]]] = {
    "real_list": ("session.list", {"limit": 50}, 100),
    "real_catalog": ("commands.catalog", {}, 100),
    "real_slash": ("complete.slash", {"text": "/he"}, 100),
}
#: The turn at a model's pace: its words, and how many a second.
WORDS, WORD_RATE = 200, 200
#: Words of the turn without pauses.
MANY_WORDS: Final = 2000
#: Seconds for a turn; the first one makes the agent.
TURN_LIMIT: Final = 60.0

_CONFIG: Final = """\
model: {{default: fake-model, provider: custom, base_url: {url}, api_key: none,
  context_length: 131072}}
security: {{tirith_enabled: false, allow_lazy_installs: false}}
plugins: {{enabled: [{plugins}]}}
"""


@contextlib.contextmanager
def time_model() -> Iterator[str]:
    """The tests' model, in a process of its own; each word is the time. Yields its base URL."""
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    process = spawn.Process(target=_serve_model, args=(theirs,))
    process.start()
    try:
        yield f"http://127.0.0.1:{ours.recv()}/v1"
    finally:
        process.terminate()
        process.join()


def _serve_model(port: Connection) -> None:
    send = fake_model._Handler._event

    def send_time(handler: fake_model._Handler, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            if choice["delta"].get("content"):
                choice["delta"]["content"] = f"{time.monotonic_ns()} "
        send(handler, chunk)

    fake_model._Handler._event = send_time  # type: ignore[assignment, method-assign]
    with fake_model.FakeModel() as model:
        port.send(model.server_port)
        threading.Event().wait()


def configure(home: Path, url: str, plugins: str = "") -> None:
    """Write a Hermes home whose model is at *url*; Hermes asks no other host."""
    (home / "config.yaml").write_text(_CONFIG.format(url=url, plugins=plugins))
    # As if Hermes had just asked whether there is a newer release: it does not ask.
    checked = {"ts": time.time(), "rev": None, "ver": "0", "behind": 0}
    (home / ".update_check").write_text(json.dumps(checked))


class Terminal:
    """A client with an open session."""

    def __init__(self, client: Client, session: str) -> None:
        self.client = client
        self._session = session

    @classmethod
    async def attach(cls, client: Client) -> Terminal:
        """Open a session and make its agent: that takes seconds, and no transport changes it."""
        created = await client.call("session.create", {"cols": 80})
        terminal = cls(client, created["session_id"])
        await terminal.turn("tokens=5")
        return terminal

    async def turn(self, prompt: str) -> list[float]:
        """Run a turn; for each word the seconds from the model to here."""
        delays: list[float] = []

        def receive(text: bytes) -> None:
            now = time.monotonic_ns()
            frame = json.loads(text)
            if "error" in frame:
                self.client.finish(ValueError(f"prompt.submit: {frame['error']}"))
            params = frame.get("params", {})
            if params.get("type") == "message.delta":
                words = re.findall(r"(\d{9,}) ", params["payload"]["text"])
                delays.extend((now - int(word)) / 1e9 for word in words)
            elif params.get("type") == "message.complete":
                self.client.finish()

        self.client.listen(receive)
        self.client.send(request("prompt.submit", {"session_id": self._session, "text": prompt}))
        await self.client.finished(TURN_LIMIT)
        return delays


def measure_real(part: Part, starts: Mapping[str, Start], rounds: int) -> None:
    """All rounds, with the same servers throughout. Raises `CannotStart` and `ValueError`."""
    with (
        measuring_other_load(part.other_load),
        time_model() as url,
        tempfile.TemporaryDirectory(prefix="bench-") as place,
    ):
        configured = {name: _configured(start, url) for name, start in starts.items()}
        with running(configured, Path(place)) as servers:
            run(_rounds(part, servers, rounds))


def _configured(start: Start, url: str) -> Start:
    def begin(place: Path) -> Server:
        configure(place, url)
        return start(place)

    return begin


async def _rounds(part: Part, servers: Mapping[str, Server], rounds: int) -> None:
    terminals = {
        name: await Terminal.attach(await server.connect()) for name, server in servers.items()
    }
    for number in range(rounds):
        for index, (key, (method, params, count)) in enumerate(REQUESTS.items()):
            for name in rotated(list(terminals), number + index):
                texts = [request(method, params) for _ in range(count)]
                times = await round_trips(terminals[name].client, texts)
                part.add(name, {f"{key}_p50": percentile(times, 50) * 1e3})
        for name in rotated(list(terminals), number):
            part.add(name, await _turns(terminals[name]))
    for terminal in terminals.values():
        await terminal.client.close()


async def _turns(terminal: Terminal) -> Found:
    """One turn at a model's pace, and one without pauses."""
    delays = await terminal.turn(f"tokens={WORDS} rate={WORD_RATE}")
    began = time.monotonic()
    words = await terminal.turn(f"tokens={MANY_WORDS}")
    seconds = time.monotonic() - began
    if len(delays) != WORDS or len(words) != MANY_WORDS:
        raise ValueError(f"of {WORDS} and {MANY_WORDS} words came {len(delays)} and {len(words)}")
    p50, p99 = (percentile(delays, percent) * 1e3 for percent in (50, 99))
    return {"real_event_p50": p50, "real_event_p99": p99, "real_turn": seconds}
