"""Clients that come back: `session.resume` by a live id, and of a session that still runs.

UIs of 0.16 and 0.17 reconnect by themselves but ask for the session by its live id,
which no Hermes accepts (4007). Releases before 0.16 build a second agent when a
stored session is resumed that is live. Both are mended here, before the dispatcher.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from types import ModuleType
from typing import Any, Final

from ..code_reading import names_in

RESUME: Final = "session.resume"
ACTIVATE: Final = "session.activate"
PROMPT: Final = "prompt.submit"
CREATE: Final = "session.create"

#: Live ids of sessions past that are remembered with their stored keys.
REMEMBERED: Final = 4096
#: What an answer of our own to `session.resume` is made with.
BUILDING_BLOCKS: Final = ("_history_to_messages", "_session_info", "_get_db", "_wait_agent")

Request = dict[str, Any]
Response = dict[str, Any]


def builds_second_agent(server: ModuleType) -> bool:
    """Whether `session.resume` of this release makes an agent without a look at live sessions."""
    names = names_in(server._methods.get(RESUME))
    looks = any("live" in name for name in names if name.isidentifier())
    return "_make_agent" in names and not looks


class Resuming:
    """Finds the session that a client means, and gives it back to the client."""

    def __init__(self, server: ModuleType, *, binds: bool) -> None:
        """*binds*: this release leaves it to its transport where a session's events go."""
        self._server = server
        self._binds = binds
        self._keys: OrderedDict[str, str] = OrderedDict()
        self._prompts: dict[str, str] = {}
        self._lock = threading.Lock()
        able = all(callable(getattr(server, name, None)) for name in BUILDING_BLOCKS)
        self.takes_over = able and builds_second_agent(server)
        """Whether running sessions are given back here, because Hermes would not."""

    def notice(self, sid: Any) -> None:
        """Remember the stored key of the live session *sid*, if there is one."""
        session = self._live(sid)
        key = session.get("session_key") if session is not None else None
        if isinstance(key, str) and key:
            with self._lock:
                self._keys[sid] = key
                self._keys.move_to_end(sid)
                if len(self._keys) > REMEMBERED:
                    self._keys.popitem(last=False)

    def prompted(self, sid: str, text: Any) -> None:
        """Remember what was asked, where Hermes stores it only when it has answered."""
        if self.takes_over and isinstance(text, str):
            live = self._server._sessions
            self._prompts = {old: said for old, said in self._prompts.items() if old in live}
            self._prompts[sid] = text

    def translate(self, request: Request) -> Request:
        """A `session.resume` by live id in words that Hermes understands."""
        params = request["params"]
        target = params["session_id"]
        session = self._live(target)
        self.notice(target)
        with self._lock:
            key = self._keys.get(target)
        if key is None or key == target:
            return request
        if self._is_stored(key):
            return {**request, "params": {**params, "session_id": key}}
        if session is None:
            # Reaped before its first prompt: there is nothing to resume but an empty talk.
            fresh = {name: value for name, value in params.items() if name != "session_id"}
            return {**request, "method": CREATE, "params": fresh}
        if ACTIVATE in self._server._methods:
            return {**request, "method": ACTIVATE}
        return request

    def take_over(self, request: Request, transport: Any) -> Response | None:
        """Answer a `session.resume` of a session that is live; None where Hermes has to.

        Waits, where the answer needs it, for an agent that is being built (30 s at most).
        """
        params = request["params"]
        found = self._find(params["session_id"]) if self.takes_over else None
        if found is None:
            return None
        sid, session = found
        session["transport"] = transport
        if isinstance(params.get("cols"), int):
            session["cols"] = params["cols"]
        rid = request.get("id")
        result = self._activated(sid)
        if result is None:
            error: Response | None = self._server._wait_agent(session, rid)
            if error is not None:
                return error
            result = self._described(sid, session)
        result["resumed"] = session.get("session_key") or sid
        return {"jsonrpc": "2.0", "id": rid, "result": result}

    def rebind(self, response: Any, transport: Any) -> None:
        """After `session.activate`: the session's events go to whoever asked.

        0.15 and 0.16 leave them with the client before; later releases do not.
        """
        result = response.get("result") if isinstance(response, dict) else None
        session = self._live(result.get("session_id")) if isinstance(result, dict) else None
        if self._binds and session is not None:
            session["transport"] = transport

    def _live(self, sid: Any) -> dict[str, Any] | None:
        return self._server._sessions.get(sid) if isinstance(sid, str) else None

    def _find(self, target: str) -> tuple[str, dict[str, Any]] | None:
        """The live session of this live id, stored key or title: of several, one that works."""
        if (session := self._live(target)) is not None:
            return target, session
        keys = {target, self._key_of_title(target)}
        found = [
            (sid, session)
            for sid, session in list(self._server._sessions.items())
            if session.get("session_key") in keys
        ]
        found.sort(key=lambda item: bool(item[1].get("running")))
        return found[-1] if found else None

    def _key_of_title(self, title: str) -> str:
        db = self._server._get_db()
        if db is None or db.get_session(title):
            return title
        row = db.get_session_by_title(title)
        return str(row["id"]) if row else title

    def _is_stored(self, key: str) -> bool:
        """Whether Hermes would find it; where we cannot tell, Hermes shall."""
        get_db = getattr(self._server, "_get_db", None)
        db = get_db() if callable(get_db) else None
        return db is None or bool(db.get_session(key))

    def _activated(self, sid: str) -> dict[str, Any] | None:
        """0.15 describes a live session itself, with the words of a running turn."""
        handler = self._server._methods.get(ACTIVATE)
        if handler is None:
            return None
        result: dict[str, Any] | None = handler(None, {"session_id": sid}).get("result")
        return result

    def _described(self, sid: str, session: dict[str, Any]) -> dict[str, Any]:
        """What 0.14's `session.resume` tells, and whether a turn runs, as later ones do."""
        server, key = self._server, session.get("session_key") or sid
        db = server._get_db()
        history = (
            db.get_messages_as_conversation(key, include_ancestors=True) if db is not None else []
        )
        messages = server._history_to_messages(history or list(session.get("history") or []))
        running = bool(session.get("running"))
        described = {
            "session_id": sid,
            "session_key": key,
            "message_count": len(messages),
            "messages": messages,
            "info": server._session_info(session["agent"]),
            "running": running,
            "status": "working" if running else "idle",
        }
        prompt = self._prompts.get(sid)
        if running and prompt is not None and messages[-1:] != [{"role": "user", "text": prompt}]:
            described["inflight"] = {"user": prompt, "assistant": "", "streaming": True}
        return described
