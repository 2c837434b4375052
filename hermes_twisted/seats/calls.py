"""How long Hermes takes to answer: a client's requests, timed from handing over to answer."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Final

from ..meter import Meter

#: What stands before the first dot of a method of Hermes, 0.14 to 0.19, as far as it is worth
#: telling apart. Everything else is `OTHER`: clients choose names, and labels are to be few.
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
"""Hermes ended before it answered."""
OUTCOMES: Final = (OK, ERROR, LOST)

#: Bytes of an answer, besides its id, in which its kind is looked for.
_HEAD: Final = 64


@functools.lru_cache(maxsize=512)
def group_of(method: str) -> str:
    """The group that *method* is counted in."""
    group = method.partition(".")[0]
    return group if group in GROUPS else OTHER


def outcome_of(answer: bytes, identity: bytes) -> str:
    """`OK` or `ERROR`, by what comes first in the answer's text; it is not parsed.

    *identity* is the request's id as JSON text, in which a quote is escaped.
    """
    head = answer[: _HEAD + len(identity)]
    error, result = head.find(b'"error":'), head.find(b'"result":')
    return ERROR if error >= 0 and (result < 0 or error < result) else OK


class Calls:
    """The requests of one client that Hermes has. *now* is in seconds; any thread may call."""

    def __init__(self, meter: Meter, now: Callable[[], float]) -> None:
        self._meter = meter
        self._now = now
        self._running: dict[int, tuple[str, bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._running)

    def begin(self, tag: int, method: str, identity: bytes) -> None:
        """Hermes gets the request *tag*; it is bounded as the requests of a client are."""
        self._running[tag] = group_of(method), identity, self._now()

    def end(self, tag: int, answer: bytes) -> None:
        """It is answered. An answer to nothing known counts for nothing."""
        call = self._running.pop(tag, None)
        if call is not None:
            group, identity, since = call
            self._meter.observe("rpc", self._now() - since, group, outcome_of(answer, identity))

    def lose(self) -> None:
        """Hermes has ended, and answers none of them."""
        running, self._running = self._running, {}
        for group, _identity, since in running.values():
            self._meter.observe("rpc", self._now() - since, group, LOST)
