"""Hermes' frames on their way to one client: put in JSON, under the client's own live ids."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

from ..shared.outbox import ANSWER, DELTA, EVENT, Outbox
from .codec import encode
from .live_ids import LiveIds
from .methods import DELTAS, TURN_ENDS, TURN_START, Response
from .session_notes import SessionNotes

_log = logging.getLogger(__name__)

INTERNAL_ERROR: Final = {"code": -32603, "message": "internal error"}


class Outgoing:
    """Queues the frames of one client in its outbox. Any thread may call; nothing raises.

    *notes*, if given, follow the frames that change the client's sessions.
    *on_event* is called with the params and the text of each event that is no delta.
    """

    def __init__(
        self,
        outbox: Outbox,
        ids: LiveIds,
        notes: SessionNotes | None,
        on_event: Callable[[dict[str, Any], bytes], None],
    ) -> None:
        self._outbox = outbox
        self._ids = ids
        self._notes = notes
        self._on_event = on_event

    def put_event(self, event: dict[str, Any]) -> bool:
        """Queue an event, serialised now; False if the client is gone.

        An event that cannot be put in JSON is left out and logged, without its content.
        """
        params = event.get("params")
        if not isinstance(params, dict):
            params = {}
        kind = params.get("type")
        if not isinstance(kind, str):
            kind = None
        ends_turn = False
        if self._notes is not None:
            if kind == TURN_START:
                self._notes.turn_started(str(params.get("session_id")))
            elif kind in TURN_ENDS:
                ends_turn = True
                self._notes.turn_ended(str(params.get("session_id")))
        try:
            text = encode(self._ids.outward(event) if self._ids.translates else event)
        except Exception:  # Hermes' objects may raise anything in their `__str__`.
            _log.error("left out an event of type %.64s: it cannot be put in JSON", kind)
            if ends_turn and self._notes is not None:
                self._notes.update()
            return True
        if kind in DELTAS:
            return self._outbox.put(text, DELTA)
        self._on_event(params, text)
        if ends_turn and self._notes is not None:
            return self._notes.put(text, EVENT)
        return self._outbox.put(text, EVENT)

    def put_answer(self, response: Response, tag: int) -> bool:
        """Queue the answer to the request *tag*; False if the client is gone.

        One that cannot be put in JSON is replaced by an error: the client waits for it.
        """
        try:
            text = encode(self._ids.outward(response) if self._ids.translates else response)
        except Exception:
            _log.error("replaced an answer by an error: it cannot be put in JSON")
            text = _internal_error(response.get("id"))
        if self._notes is not None:
            result = response.get("result")
            # The client may have got a session with it, or lost one.
            if isinstance(result, dict) and ("session_id" in result or "closed" in result):
                return self._notes.put(text, ANSWER, tag)
        return self._outbox.put(text, ANSWER, tag)

    def repeat(self, text: bytes) -> None:
        """Queue the text of an event that went to this client or another before."""
        self._outbox.put(text, EVENT)


def _internal_error(identity: Any) -> bytes:
    """Return an error answer; without the id if that is what cannot be put in JSON."""
    try:
        return encode({"jsonrpc": "2.0", "id": identity, "error": INTERNAL_ERROR})
    except Exception:
        return encode({"jsonrpc": "2.0", "id": None, "error": INTERNAL_ERROR})
