"""The session ledger: what the front keeps of a seat's sessions in case the worker dies.

The worker notes which sessions a seat has, and whether a turn runs in them, in their place
among the frames. The next worker gets the latest note, restores the sessions, and notes
which it restored; the turns that were lost with the old worker are then ended for the client.

A turn is ended without a text: every stock UI (0.15 to 0.19) then keeps the words that
it has streamed. So the front need not keep or parse any text.
"""

from __future__ import annotations

from typing import Final

from .. import rpc
from ..shared.schema import RestoredSession, SavedSessions, SessionNote

TURN_LOST: Final = (
    "Hermes was restarted. Its reply broke off there; the conversation goes on, so just ask again."
)
RESUMED: Final = "Hermes was restarted. The conversation goes on."
STARTED_EMPTY: Final = (
    "Hermes was restarted before it had stored this conversation, which therefore starts empty."
)


class SessionLedger:
    """The sessions of one seat, as the worker noted them last."""

    def __init__(self) -> None:
        self.saved = SavedSessions(())
        """The sessions to restore in the next worker."""

    def note(self, note: SessionNote) -> list[bytes]:
        """Take a note of the worker; return the frames that tell the client what it means."""
        self.saved = SavedSessions(note.saved)
        return [frame for session in note.restored for frame in _frames(session)]


def _frames(session: RestoredSession) -> list[bytes]:
    """Return the frames that tell the client of a restored session."""
    if not session.running:
        return [rpc.notice(RESUMED)]
    text = STARTED_EMPTY if session.fresh else TURN_LOST
    return [_end_of_turn(session.live_id), rpc.notice(text)]


def _end_of_turn(live_id: str) -> bytes:
    payload = {"status": "interrupted"}
    params = {"type": "message.complete", "session_id": live_id, "payload": payload}
    return rpc.encode({"jsonrpc": "2.0", "method": "event", "params": params})
