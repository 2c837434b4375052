"""Releases that build a second agent when a live session is resumed.

The reply of a running turn would be lost, and the second agent would not know of it. The live
session is returned instead.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from ..code_reading import names_in
from ..methods import ACTIVATE, RESUME, Request, Response
from .cure import Cure
from .unstored_prompt import Prompts

CURE: Final = Cure(
    name="second_agent",
    what="`session.resume` of a session that is live builds a second agent, and the reply of the "
    "running turn is lost.",
    releases="0.14, 0.15",
    found="the code of its `session.resume` makes an agent and looks at no live session",
    cured="The live session is returned, with the running turn.",
)

#: The functions of Hermes that an answer to `session.resume` is made with.
BUILDING_BLOCKS: Final = ("_history_to_messages", "_session_info", "_get_db", "_wait_agent")


def builds_second_agent(server: ModuleType) -> bool:
    """Return whether `session.resume` ignores live sessions when it makes an agent, curably."""
    names = names_in(server._methods.get(RESUME))
    looks = any("live" in name for name in names if name.isidentifier())
    able = all(callable(getattr(server, name, None)) for name in BUILDING_BLOCKS)
    return able and "_make_agent" in names and not looks


class TakeOver:
    """Answers `session.resume` of a live session instead of such a release."""

    def __init__(self, server: ModuleType, *, needed: bool) -> None:
        """*needed*: this release would build a second agent (`builds_second_agent`)."""
        self._server = server
        self._needed = needed
        self._prompts = Prompts(server)

    def prompted(self, live_id: str, text: Any) -> None:
        """Remember the prompt of a turn that begins."""
        if self._needed and isinstance(text, str):
            self._prompts.submitted(live_id, text)

    def answer(self, request: Request, transport: object) -> Response | None:
        """Give a live session to *transport*; None if Hermes has to answer the request.

        Waits, where the answer needs it, for an agent that is being built (30 s at most).
        """
        params = request["params"]
        found = self._find(params["session_id"]) if self._needed else None
        if found is None:
            return None
        live_id, session = found
        session["transport"] = transport
        if isinstance(params.get("cols"), int):
            session["cols"] = params["cols"]
        rid = request.get("id")
        result = self._activated(live_id)
        if result is None:
            error: Response | None = self._server._wait_agent(session, rid)
            if error is not None:
                return error
            result = self._described(live_id, session)
        result["resumed"] = session.get("session_key") or live_id
        return {"jsonrpc": "2.0", "id": rid, "result": result}

    def _find(self, target: str) -> tuple[str, dict[str, Any]] | None:
        """Return the live session with this live id, stored key or title.

        Of several with one key, one that runs a turn.
        """
        session = self._server._sessions.get(target)
        if session is not None:
            return target, session
        keys = {target, self._key_of_title(target)}
        found = [
            (live_id, session)
            for live_id, session in list(self._server._sessions.items())
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

    def _activated(self, live_id: str) -> dict[str, Any] | None:
        """Return how 0.15 describes a live session, with the words of a running turn."""
        handler = self._server._methods.get(ACTIVATE)
        if handler is None:
            return None
        result: dict[str, Any] | None = handler(None, {"session_id": live_id}).get("result")
        return result

    def _described(self, live_id: str, session: dict[str, Any]) -> dict[str, Any]:
        """Return what 0.14's `session.resume` tells, and, as later ones do, whether a turn runs."""
        server, key = self._server, session.get("session_key") or live_id
        db = server._get_db()
        history = (
            db.get_messages_as_conversation(key, include_ancestors=True) if db is not None else []
        )
        messages = server._history_to_messages(history or list(session.get("history") or []))
        running = bool(session.get("running"))
        described = {
            "session_id": live_id,
            "session_key": key,
            "message_count": len(messages),
            "messages": messages,
            "info": server._session_info(session["agent"]),
            "running": running,
            "status": "working" if running else "idle",
        }
        if running and (inflight := self._prompts.inflight(live_id, messages)) is not None:
            described["inflight"] = inflight
        return described
