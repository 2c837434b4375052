from __future__ import annotations

import json
from typing import Any

from hermes_twisted.seats.ledger import RESUMED, STARTED_EMPTY, TURN_LOST, SessionLedger
from hermes_twisted.shared.schema import (
    RestoredSession,
    SavedSession,
    SavedSessions,
    SessionNote,
)

SESSION = SavedSession("a", stored_key="k", cols=80, running=True)


def told(*sessions: RestoredSession) -> list[Any]:
    """What the client sees of a note that these were restored."""
    frames = SessionLedger().note(SessionNote((SESSION,), sessions))
    return [json.loads(frame)["params"] for frame in frames]


def test_nothing_to_restore() -> None:
    """A seat without sessions is opened as any."""
    assert SessionLedger().saved == SavedSessions(())


def test_the_latest_note_counts() -> None:
    """The next worker gets what was noted last."""
    ledger = SessionLedger()
    ledger.note(SessionNote((SavedSession("old", None, None, running=False),)))
    assert ledger.note(SessionNote((SESSION,))) == []

    assert ledger.saved == SavedSessions((SESSION,))

    ledger.note(SessionNote(()))
    assert ledger.saved == SavedSessions(())


def test_restored_sessions_are_saved_again() -> None:
    """The worker may die a second time before anything else is noted."""
    ledger = SessionLedger()

    ledger.note(SessionNote((SESSION,), (RestoredSession("a", running=True, fresh=False),)))

    assert ledger.saved == SavedSessions((SESSION,))


def test_a_turn_that_died() -> None:
    """Is ended without a text: the UI then keeps what it has streamed."""
    end, line = told(RestoredSession("a", running=True, fresh=False))

    assert end == {
        "type": "message.complete",
        "session_id": "a",
        "payload": {"status": "interrupted"},
    }
    assert line["payload"]["message"] == TURN_LOST


def test_a_turn_that_was_never_stored() -> None:
    """The user is told that the agent has forgotten it."""
    end, line = told(RestoredSession("a", running=True, fresh=True))

    assert end["type"] == "message.complete"
    assert line["payload"]["message"] == STARTED_EMPTY


def test_an_idle_session() -> None:
    """Goes on; whether it was stored makes no difference when nothing was said."""
    for fresh in (True, False):
        [line] = told(RestoredSession("a", running=False, fresh=fresh))

        assert line["payload"]["message"] == RESUMED


def test_none_was_restored() -> None:
    """Nothing is said here: `gateway.ready` makes the UI start over."""
    assert told() == []
