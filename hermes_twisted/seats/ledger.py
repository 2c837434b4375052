"""What the front keeps of a seat's sessions, for the day when the worker dies.

The worker notes which sessions a seat has, and whether a turn runs in them, in their
place among the frames. The next worker gets the latest note, resumes the sessions and
notes which came back; the turns that died are then ended for the client.

A turn is ended without a text: every stock UI (0.15 to 0.19) then keeps the words that
it has streamed. So no text has to be kept, or parsed, here.
"""

from __future__ import annotations

import json
from typing import Any, Final

from .. import rpc

TURN_LOST: Final = (
    "Hermes was restarted. Its reply broke off there; the conversation goes on, so just ask again."
)
RESUMED: Final = "Hermes was restarted. The conversation goes on."
BEGUN_ANEW: Final = (
    "Hermes was restarted, and had not stored this conversation yet: it begins anew."
)


class Recollection:
    """The sessions of one seat."""

    def __init__(self) -> None:
        self._sessions: list[dict[str, Any]] = []

    @property
    def for_the_next_worker(self) -> bytes:
        """The sessions to resume, as the body of `Op.OPEN`; empty if there are none."""
        return rpc.encode(self._sessions) if self._sessions else b""

    def note(self, body: bytes) -> list[bytes]:
        """Take a note of the worker; what it means for the client, as frames."""
        note = json.loads(body)
        if "sessions" in note:
            self._sessions = note["sessions"]
            return []
        return [frame for session in note["resumed"] for frame in _told(session)]


def _told(session: dict[str, Any]) -> list[bytes]:
    if not session["running"]:
        return [rpc.notice(RESUMED)]
    text = BEGUN_ANEW if session["fresh"] else TURN_LOST
    return [_end_of_turn(session["id"]), rpc.notice(text)]


def _end_of_turn(sid: str) -> bytes:
    payload = {"status": "interrupted"}
    params = {"type": "message.complete", "session_id": sid, "payload": payload}
    return rpc.encode({"jsonrpc": "2.0", "method": "event", "params": params})
