"""Turns that have ended for the client but not yet for Hermes.

A turn counts as running for a moment after its `message.complete`, and up to 0.17 a
prompt in that moment is refused as "session busy" (4009). A UI that sends a queued
prompt at once then waits for ever, because no turn's end comes any more. Later
releases queue it themselves.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from ..code_reading import names_in
from .resume_by_live_id import PROMPT

#: What a release that refuses says in its handler.
REFUSAL: Final = "session busy"
START: Final = "message.start"
END: Final = "message.complete"

#: Sessions whose last turn is remembered as ended.
SESSIONS: Final = 1024
#: How long a prompt waits for Hermes to be done with the turn before, and how often it
#: looks, in seconds.
PATIENCE: Final = 5.0
POLL: Final = 0.01


class Turns:
    """Knows which sessions' turns have been told to be over."""

    def __init__(self, server: ModuleType, sleep: Callable[[float], None] = time.sleep) -> None:
        self._server = server
        self._sleep = sleep
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._lock = threading.Lock()
        self._refused = REFUSAL in names_in(server._methods.get(PROMPT))

    def notice(self, params: dict[str, Any]) -> None:
        """An event went to a client. Called by any thread."""
        kind, sid = params.get("type"), params.get("session_id")
        if kind not in (START, END) or not isinstance(sid, str):
            return
        with self._lock:
            self._ended.pop(sid, None)
            if kind == END:
                self._ended[sid] = None
                if len(self._ended) > SESSIONS:
                    self._ended.popitem(last=False)

    def settle(self, sid: str) -> None:
        """Before a prompt: let the turn before end. Blocks, and not for long."""
        session = self._server._sessions.get(sid)
        if session is None or not self._refused:
            return
        for _ in range(round(PATIENCE / POLL)):
            if not session.get("running") or sid not in self._ended:
                return
            self._sleep(POLL)
