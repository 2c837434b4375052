"""Measures how long Hermes takes to answer a client's requests."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from ..meter import Meter

#: The method groups of Hermes 0.14 to 0.19, each with a label of its own. All others count as
#: `OTHER`: clients choose method names, and a metric must have few labels.
GROUPS: Final = frozenset(
    (
        "agents", "approval", "billing", "browser", "clarify", "cli", "client", "clipboard",
        "command", "commands", "complete", "config", "credits", "cron", "delegation", "file",
        "gateway", "handoff", "image", "input", "insights", "learning", "llm", "model", "paste",
        "pdf", "pet", "plugins", "preview", "process", "project", "projects", "prompt", "reload",
        "rollback", "secret", "session", "setup", "shell", "skills", "slash", "spawn_tree",
        "subagent", "subscription", "sudo", "terminal", "tools", "toolsets", "usage",
        "verification", "voice",
    )
)  # fmt: skip
OTHER: Final = "other"

OK: Final = "ok"
ERROR: Final = "error"
LOST: Final = "lost"
"""The outcome of a request that Hermes had not answered when it ended."""

#: Bytes at the start of an answer, besides its id, that contain `error` or `result`.
_HEAD: Final = 64


@functools.lru_cache(maxsize=512)
def group_of(method: str) -> str:
    """Return the method group of *method* as metrics count it: `OTHER` unless it is known."""
    group = method.partition(".")[0]
    return group if group in GROUPS else OTHER


def outcome_of(answer: bytes, identity: bytes) -> str:
    """Return `ERROR` if the member `error` comes first in the answer's text, else `OK`.

    The text is not parsed. *identity* is the request's id as JSON text.
    """
    head = answer[: _HEAD + len(identity)]
    error, result = head.find(b'"error":'), head.find(b'"result":')
    return ERROR if error >= 0 and (result < 0 or error < result) else OK


class Calls:
    """The requests of one client that Hermes has not answered yet. Thread-safe.

    *now* is a monotonic clock, in seconds.
    """

    def __init__(self, meter: Meter, now: Callable[[], float]) -> None:
        self._meter = meter
        self._now = now
        self._running: dict[int, tuple[str, bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, tag: int, method: str, identity: bytes) -> None:
        """Start to time the request *tag*. The request window limits their number."""
        self._running[tag] = group_of(method), identity, self._now()

    def end(self, tag: int, answer: bytes) -> None:
        """Record the duration of an answered request. An unknown *tag* is ignored."""
        call = self._running.pop(tag, None)
        if call is not None:
            group, identity, since = call
            self._meter.observe("rpc", self._now() - since, group, outcome_of(answer, identity))

    def lose(self) -> None:
        """Record every unanswered request as `LOST`, because Hermes has ended."""
        running, self._running = self._running, {}
        for group, _identity, since in running.values():
            self._meter.observe("rpc", self._now() - since, group, LOST)
