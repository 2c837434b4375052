"""Live ids that a client knows from a process that is gone, for those of this one.

After a restart each of a client's sessions has a new live id. The client goes on with
the old one: it is translated on the way in, and back on the way out. Live ids stand in
`session_id` of params, events and results, and in lists of live sessions.
"""

from __future__ import annotations

from typing import Any, Final

#: Where params name a session that lives.
_PARAMS: Final = ("session_id", "current_session_id")


class Aliases:
    """The live ids of one client: what it says, and what Hermes says."""

    def __init__(self) -> None:
        self._inward: dict[str, str] = {}
        self._outward: dict[str, str] = {}

    def __bool__(self) -> bool:
        return bool(self._inward)

    def add(self, known: str, live: str) -> None:
        """What the client knows as *known* is *live* now."""
        self._inward[known] = live
        self._outward[live] = known

    def known(self, live: str) -> str:
        """What the client calls the session *live*."""
        return self._outward.get(live, live)

    def inward(self, request: Any) -> Any:
        """A client's request, for Hermes."""
        params = request.get("params") if isinstance(request, dict) else None
        if not isinstance(params, dict):
            return request
        changed = self._translated(params, _PARAMS, self._inward)
        return request if changed is None else {**request, "params": changed}

    def outward(self, obj: dict[str, Any]) -> dict[str, Any]:
        """A frame of Hermes, for the client. *obj* itself is left as it is."""
        for name in ("params", "result"):
            if isinstance(part := obj.get(name), dict):
                changed = self._translated(part, ("session_id",), self._outward)
                sessions = part.get("sessions")
                if isinstance(sessions, list):
                    listed = [self._listed(session) for session in sessions]
                    changed = {**(changed or part), "sessions": listed}
                if changed is not None:
                    return {**obj, name: changed}
        return obj

    def _listed(self, session: Any) -> Any:
        """An entry of `session.active_list`."""
        if not isinstance(session, dict):
            return session
        return self._translated(session, ("id",), self._outward) or session

    @staticmethod
    def _translated(
        part: dict[str, Any], names: tuple[str, ...], ids: dict[str, str]
    ) -> dict[str, Any] | None:
        """A copy with other ids, or None if there is nothing to change."""
        found = {
            name: ids[value]
            for name in names
            if isinstance(value := part.get(name), str) and value in ids
        }
        return {**part, **found} if found else None
