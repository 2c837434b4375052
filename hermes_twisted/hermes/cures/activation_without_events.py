"""`session.activate` that leaves the session's events with the client before."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from .cure import Cure

CURE: Final = Cure(
    name="activation_without_events",
    what="`session.activate` answers a client that takes a session over, but the session's events "
    "go on to the client before.",
    releases="0.15, 0.16",
    found="`tui_gateway.server` has no `_close_sessions_for_transport`: the transport itself says "
    "where a session's events go",
    cured="The session's events go to the client that activates it, as from 0.17 on.",
)


class Activation:
    """Binds an activated session to the transport of the client that activated it."""

    def __init__(self, server: ModuleType, *, needed: bool) -> None:
        """*needed*: this release leaves events where they went before."""
        self._server = server
        self._needed = needed

    def bind(self, response: Any, transport: object) -> None:
        """Send the session that *response* describes, if any, to *transport* from now on."""
        if not self._needed:
            return
        result = response.get("result") if isinstance(response, dict) else None
        live_id = result.get("session_id") if isinstance(result, dict) else None
        session = self._server._sessions.get(live_id) if isinstance(live_id, str) else None
        if session is not None:
            session["transport"] = transport
