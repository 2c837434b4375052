"""The same comparison before a real Hermes: real requests, and turns that a model streams."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .model import CONFIG, stamped_model, stamps
from .others import watching
from .results import Found, Part
from .rounds import run
from .servers import Server, Start, running
from .stats import percentile, turned
from .talk import Message, Talk, request
from .traffic import round_trips

#: Requests by the key of their row.
REQUESTS: Final[Mapping[str, tuple[str, dict[str, Any], int]]] = {
    "real_list": ("session.list", {"limit": 50}, 100),
    "real_catalog": ("commands.catalog", {}, 100),
    "real_slash": ("complete.slash", {"text": "/he"}, 100),
}
#: Words of the turn that is measured at a model's pace, and how many of them a second.
WORDS, PACE = 200, 200
#: Words of the turn that comes as fast as the model's answer can be read.
MANY: Final = 2000
#: Seconds for a turn; the first one makes the agent.
TURN_LIMIT: Final = 60.0


def measure_real(part: Part, starts: Mapping[str, Start], rounds: int) -> None:
    """All rounds, with the same servers throughout. Raises `CannotServe`."""
    with (
        watching(part.others),
        stamped_model() as url,
        tempfile.TemporaryDirectory(prefix="bench-") as place,
    ):
        configured = {name: _configured(start, url) for name, start in starts.items()}
        with running(configured, Path(place)) as servers:
            run(_rounds(part, servers, rounds))


def _configured(start: Start, url: str) -> Start:
    def begin(place: Path) -> Server:
        (place / "config.yaml").write_text(CONFIG.format(url=url, plugins=""))
        # As if it had just asked whether there is a newer Hermes: it does not ask.
        checked = {"ts": time.time(), "rev": None, "ver": "0", "behind": 0}
        (place / ".update_check").write_text(json.dumps(checked))
        return start(place)

    return begin


async def _rounds(part: Part, servers: Mapping[str, Server], rounds: int) -> None:
    terminals = {name: await _Terminal.attach(server) for name, server in servers.items()}
    for number in range(rounds):
        for index, (key, (method, params, count)) in enumerate(REQUESTS.items()):
            for name in turned(list(terminals), number + index):
                part.add(name, await terminals[name].requests(key, method, params, count))
        for name in turned(list(terminals), number):
            part.add(name, await terminals[name].turns())
    for terminal in terminals.values():
        await terminal.client.close()


class _Terminal:
    """A client with an open session."""

    def __init__(self, client: Talk, session: str) -> None:
        self.client = client
        self._session = session

    @classmethod
    async def attach(cls, server: Server) -> _Terminal:
        """Its agent is made: that takes seconds, and is no transport's doing."""
        client = await server.connect()
        created = await client.call("session.create", {"cols": 80})
        terminal = cls(client, created["session_id"])
        await terminal._turn("tokens=5")
        return terminal

    async def requests(self, key: str, method: str, params: dict[str, Any], count: int) -> Found:
        """So many, one after the other."""
        texts = [request(method, params) for _ in range(count)]
        times = await round_trips(self.client, texts)
        return Found({f"{key}_p50": percentile(times, 50) * 1e3})

    async def turns(self) -> Found:
        """One at a model's pace, and one as fast as it goes."""
        delays, _seconds = await self._turn(f"tokens={WORDS} rate={PACE}")
        words, seconds = await self._turn(f"tokens={MANY}")
        if len(delays) != WORDS or len(words) != MANY:
            raise ValueError(f"of {WORDS} and {MANY} words came {len(delays)} and {len(words)}")
        return Found(
            {
                "real_event_p50": percentile(delays, 50) * 1e3,
                "real_event_p99": percentile(delays, 99) * 1e3,
                "real_turn": seconds,
            }
        )

    async def _turn(self, text: str) -> tuple[list[float], float]:
        """Seconds from the model to here, of each word; and of the whole turn."""
        delays: list[float] = []

        def hear(message: Message) -> None:
            now = time.monotonic_ns()
            frame = json.loads(message.get_payload_as_bytes())
            if "error" in frame:
                raise ValueError(f"prompt.submit: {frame['error']}")
            params = frame.get("params", {})
            if params.get("type") == "message.delta":
                delays.extend((now - stamp) / 1e9 for stamp in stamps(params["payload"]["text"]))
            elif params.get("type") == "message.complete":
                self.client.finish()

        began = time.monotonic()
        self.client.listen(hear)
        self.client.send(request("prompt.submit", {"session_id": self._session, "text": text}))
        await self.client.finished(TURN_LIMIT)
        return delays, time.monotonic() - began
