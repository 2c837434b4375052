"""Turns that have ended for the client but not yet for Hermes.

A turn counts as running for a moment after its `message.complete`. A prompt in that moment
is refused as "session busy" (4009), and a UI that sends a queued prompt at once then waits
for ever, because no end of a turn comes any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from ...shared.bounded_map import BoundedMap
from ..code_reading import names_in
from ..methods import PROMPT, TURN_END, TURN_START
from .cure import Cure

CURE: Final = Cure(
    name="late_turn_end",
    what="A prompt right behind the end of a turn is refused as `session busy`, and a UI that "
    "sends a queued prompt waits for ever.",
    releases="0.14 to 0.17",
    found="the code of its `prompt.submit` contains `session busy`; later releases queue the "
    "prompt",
    cured="The prompt waits until Hermes too is done with the turn, 5 s at most.",
)

#: The error text by which releases that refuse such a prompt are recognised.
REFUSAL: Final = "session busy"
#: Sessions whose last turn is remembered as ended.
SESSIONS: Final = 1024
#: Seconds that a prompt waits for the end of the turn before, and between two checks.
PATIENCE: Final = 5.0
POLL: Final = 0.01


class EndedTurns:
    """Remembers the sessions whose turn is over for their clients. Thread-safe."""

    def __init__(self, server: ModuleType, sleep: Callable[[float], None] = time.sleep) -> None:
        self._server = server
        self._sleep = sleep
        self._ended: BoundedMap[str, None] = BoundedMap(SESSIONS)
        self._lock = threading.Lock()
        self._refuses = REFUSAL in names_in(server._methods.get(PROMPT))

    def notice(self, params: dict[str, Any]) -> None:
        """Follow an event that goes to a client."""
        kind, live_id = params.get("type"), params.get("session_id")
        if kind not in (TURN_START, TURN_END) or not isinstance(live_id, str):
            return
        with self._lock:
            if kind == TURN_END:
                self._ended[live_id] = None
            else:
                self._ended.pop(live_id, None)

    def wait(self, live_id: str) -> None:
        """Wait, before a prompt, until the turn before has ended for Hermes, too."""
        session = self._server._sessions.get(live_id)
        if session is None or not self._refuses:
            return
        for _ in range(round(PATIENCE / POLL)):
            if not session.get("running") or live_id not in self._ended:
                return
            self._sleep(POLL)
