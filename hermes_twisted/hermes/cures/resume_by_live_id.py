"""Clients that resume a session by its live id, which no Hermes accepts (error 4007).

Terminal UIs of 0.16 and 0.17 ask so when they reconnect. The live id is translated to the
stored key before Hermes' dispatcher sees it.
"""

from __future__ import annotations

import threading
from types import ModuleType
from typing import Final

from ...shared.bounded_map import BoundedMap
from ..methods import ACTIVATE, CREATE, Request
from .cure import Cure

CURE: Final = Cure(
    name="resume_by_live_id",
    what="UIs of 0.16 and 0.17 resume their session by its live id after a lost connection, and "
    "get `session not found`.",
    releases="every release",
    found="the id in `session.resume` is a live id of this process, of a session that lives or "
    "has ended",
    cured="The live id is translated to the stored key, also after Hermes has ended the session. "
    "One that was never prompted is activated, or, if it has ended, starts anew, empty.",
)

#: Live ids, also of sessions that have ended, that are remembered with their stored keys.
REMEMBERED: Final = 4096


class StoredKeys:
    """Remembers the stored keys of live sessions, and translates `session.resume`. Thread-safe."""

    def __init__(self, server: ModuleType) -> None:
        self._server = server
        self._keys: BoundedMap[str, str] = BoundedMap(REMEMBERED)
        self._lock = threading.Lock()

    def remember(self, live_id: str) -> None:
        """Remember the stored key of a session, if it is live. Compression changes the key."""
        session = self._server._sessions.get(live_id)
        key = session.get("session_key") if session is not None else None
        if isinstance(key, str) and key:
            with self._lock:
                self._keys[live_id] = key

    def translate(self, request: Request) -> Request:
        """Return a `session.resume` in words that Hermes understands; most as they are."""
        params = request["params"]
        live_id = params["session_id"]
        self.remember(live_id)
        with self._lock:
            key = self._keys.get(live_id)
        if key is None or key == live_id:
            return request
        if self._is_stored(key):
            return {**request, "params": {**params, "session_id": key}}
        if live_id not in self._server._sessions:
            # Ended before its first prompt: there is nothing to resume but an empty session.
            fresh = {name: value for name, value in params.items() if name != "session_id"}
            return {**request, "method": CREATE, "params": fresh}
        if ACTIVATE in self._server._methods:
            return {**request, "method": ACTIVATE}
        return request

    def _is_stored(self, key: str) -> bool:
        """Return whether Hermes would find the key; true where we cannot tell."""
        get_db = getattr(self._server, "_get_db", None)
        db = get_db() if callable(get_db) else None
        return db is None or bool(db.get_session(key))
