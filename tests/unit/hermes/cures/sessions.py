"""A Hermes with one live session, for the cures of `session.resume` and its like."""

from __future__ import annotations

from types import ModuleType
from typing import Any

KEY = "20260101_000000_aaaaaa"


class FakeDb:
    """Stored sessions: titles by key."""

    def __init__(self, titles: dict[str, str]) -> None:
        self.titles = titles

    def get_session(self, key: str) -> dict[str, str] | None:
        return {"id": key} if key in self.titles else None

    def get_session_by_title(self, title: str) -> dict[str, str] | None:
        return next(({"id": key} for key, said in self.titles.items() if said == title), None)

    def get_messages_as_conversation(self, key: str, *, include_ancestors: bool) -> list[Any]:
        return [{"role": "user", "text": "stored"}] if key in self.titles else []


def rebuilding(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.14 and 0.15 resume: whatever is live, a new agent is made."""
    return _make_agent(params["session_id"])  # type: ignore[name-defined]  # noqa: F821


def looking(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.16 and later."""
    found = _find_live_session_by_key(params)  # type: ignore[name-defined]  # noqa: F821
    return found or _make_agent(params)  # type: ignore[name-defined]  # noqa: F821


class Hermes:
    """A server with one session, of a release that looks at what is live or does not."""

    def __init__(self, resume: Any = looking, **titles: str) -> None:
        self.session: dict[str, Any] = {
            "session_key": KEY,
            "transport": None,
            "agent": "agent",
            "running": True,
            "history": [{"role": "user", "text": "live"}],
        }
        server: Any = ModuleType("tui_gateway.server")
        server._sessions = {"live0001": self.session}
        server._methods = {"session.resume": resume, "session.activate": activate}
        server._get_db = lambda: FakeDb(titles)
        server._history_to_messages = list
        server._session_info = lambda agent: {"agent": agent}
        server._wait_agent = lambda session, rid: None
        self.server = server


def activate(rid: Any, params: dict[str, Any]) -> dict[str, Any]:
    return {"id": rid, "result": {"session_id": params["session_id"], "inflight": "words"}}


def resume(target: str, **more: Any) -> dict[str, Any]:
    return {"id": 1, "method": "session.resume", "params": {"session_id": target, **more}}


def old(**titles: str) -> Hermes:
    """0.14: it cannot describe a live session."""
    hermes = Hermes(rebuilding, **titles)
    del hermes.server._methods["session.activate"]
    return hermes
