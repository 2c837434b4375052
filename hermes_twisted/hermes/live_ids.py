"""Translate live ids that a client knows from an earlier worker to those of this worker.

After a restart each of a client's sessions has a new live id. The client goes on with
the old one, which is translated on the way in and back on the way out. Live ids stand in
`session_id` of params, events and results, and in lists of live sessions.
"""

from __future__ import annotations

from typing import Any, Final

#: The params that name a live session.
_PARAMS: Final = ("session_id", "current_session_id")


class LiveIds:
    """Translates live ids between one client and Hermes."""

    def __init__(self) -> None:
        self.translates = False
        """Whether any id differs; until then `inward` and `outward` need not be called."""
        self._inward: dict[str, str] = {}
        self._outward: dict[str, str] = {}

    def add(self, known: str, live: str) -> None:
        """Translate what the client knows as *known*, and Hermes as *live*, from now on."""
        self._inward[known] = live
        self._outward[live] = known
        self.translates = True

    def of_client(self, live: str) -> str:
        """Return the id by which the client knows the session *live* of Hermes."""
        return self._outward.get(live, live)

    def inward(self, request: Any) -> Any:
        """Return a client's request with Hermes' ids. *request* itself is not changed."""
        params = request.get("params") if isinstance(request, dict) else None
        if not isinstance(params, dict):
            return request
        changed = self._translated(params, _PARAMS, self._inward)
        return request if changed is None else {**request, "params": changed}

    def outward(self, obj: dict[str, Any]) -> dict[str, Any]:
        """Return a frame of Hermes with the client's ids. *obj* itself is not changed."""
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
        """Return an entry of the answer to `session.active_list` with the client's id."""
        if not isinstance(session, dict):
            return session
        return self._translated(session, ("id",), self._outward) or session

    @staticmethod
    def _translated(
        part: dict[str, Any], names: tuple[str, ...], ids: dict[str, str]
    ) -> dict[str, Any] | None:
        """Return a copy of *part* with other ids, or None if there is nothing to change."""
        found = {
            name: ids[value]
            for name in names
            if isinstance(value := part.get(name), str) and value in ids
        }
        return {**part, **found} if found else None
