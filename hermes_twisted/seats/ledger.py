"""The session ledger: a seat's sessions, to restore them if the worker dies.

The worker sends notes, in order with the frames, of the sessions that a seat has and of the turns
that run in them. The next worker gets the latest note, restores the sessions, and sends a note of
those it restored. The front then ends the turns that were lost with the old worker.

It ends a turn without a text: every stock UI (0.15 to 0.19) then keeps the text that was streamed,
so the front need not store or parse any.
"""

from __future__ import annotations

from typing import Final

from .. import rpc
from ..shared.schema import RestoredSession, SavedSessions, SessionNote

TURN_LOST: Final = (
    "Hermes was restarted, and its reply was cut off. The conversation goes on: just ask again."
)
RESUMED: Final = "Hermes was restarted. The conversation goes on."
STARTED_EMPTY: Final = (
    "Hermes was restarted before it had stored this conversation, so it starts empty."
)


class SessionLedger:
    """The sessions of one seat, by the worker's latest note."""

    def __init__(self) -> None:
        self.saved = SavedSessions(())
        """The sessions for the next worker to restore."""

    def note(self, note: SessionNote) -> list[bytes]:
        """Store a note of the worker; return frames for the client about its restored sessions."""
        self.saved = SavedSessions(note.saved)
        return [frame for session in note.restored for frame in _frames(session)]


def _frames(session: RestoredSession) -> list[bytes]:
    """Return the frames for the client about a restored session."""
    if not session.running:
        return [rpc.notice(RESUMED)]
    text = STARTED_EMPTY if session.fresh else TURN_LOST
    return [_end_of_turn(session.live_id), rpc.notice(text)]


def _end_of_turn(live_id: str) -> bytes:
    payload = {"status": "interrupted"}
    params = {"type": "message.complete", "session_id": live_id, "payload": payload}
    return rpc.encode({"jsonrpc": "2.0", "method": "event", "params": params})
