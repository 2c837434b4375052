"""Measurements before a real Hermes: its requests, and turns of a model that streams the time."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import Any, Final

from tests import fake_model

from .results import Found, percentile
from .servers import Server
from .traffic import Client, open_session, request, round_trips, turn_delays

#: Requests by the key of their row: method and parameters.
REQUESTS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "real_list": ("session.list", {"limit": 50}),
    "real_catalog": ("commands.catalog", {}),
    "real_slash": ("complete.slash", {"text": "/he"}),
}
#: Words of the turn at a model's pace, which is as many a second; and of the one without pauses.
WORDS: Final = 200
MANY_WORDS: Final = 2000


class _TimeHandler(fake_model._Handler):
    """The tests' model, but each word is the time."""

    def _event(self, chunk: dict[str, Any]) -> None:
        for choice in chunk["choices"]:
            if choice["delta"].get("content"):
                choice["delta"]["content"] = f"{time.monotonic()} "
        super()._event(chunk)


@contextlib.contextmanager
def time_model() -> Iterator[str]:
    """Run a model whose words are the time, in a process of its own. Yields its base URL."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool.submit(_start_model).result()


def _start_model() -> str:
    model = fake_model.FakeModel()  # Its thread serves until the process ends.
    model.RequestHandlerClass = _TimeHandler
    return model.base_url


async def turn(client: Client, session: str, prompt: str) -> list[float]:
    """Run a turn, and return for each word the seconds from the model to here."""
    return await turn_delays(client, "prompt.submit", {"session_id": session, "text": prompt})


async def turns(server: Server, client: Client) -> Found:
    """One turn at a model's pace, and one without pauses, after one that makes the agent."""
    session = await open_session(client)
    await turn(client, session, "tokens=5")
    delays = await turn(client, session, f"tokens={WORDS} rate={WORDS}")
    began = time.monotonic()
    words = await turn(client, session, f"tokens={MANY_WORDS}")
    seconds = time.monotonic() - began
    assert (len(delays), len(words)) == (WORDS, MANY_WORDS)
    p50, p99 = (percentile(delays, percent) * 1e3 for percent in (50, 99))
    return {"real_event_p50": p50, "real_event_p99": p99, "real_turn": seconds}


async def requests(server: Server, client: Client) -> Found:
    """A hundred of each request."""
    found: Found = {}
    for key, (method, params) in REQUESTS.items():
        times = await round_trips(client, [request(method, params) for _ in range(100)])
        found[f"{key}_p50"] = percentile(times, 50) * 1e3
    return found
