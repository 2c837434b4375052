from __future__ import annotations

import json
from typing import Any

from hermes_twisted.seats.ledger import BEGUN_ANEW, RESUMED, TURN_LOST, Recollection

SESSION = {"id": "a", "key": "k", "cols": 80, "running": True}


def told(recollection: Recollection, *sessions: dict[str, Any]) -> list[Any]:
    """What the client sees of a note that these came back."""
    frames = recollection.note(json.dumps({"resumed": sessions}).encode())
    return [json.loads(frame)["params"] for frame in frames]


def test_nothing_to_resume() -> None:
    """A seat without sessions is opened as any."""
    assert Recollection().for_the_next_worker == b""


def test_the_latest_note_counts() -> None:
    """The next worker gets what was noted last."""
    recollection = Recollection()
    recollection.note(json.dumps({"sessions": [{"id": "old"}]}).encode())
    assert recollection.note(json.dumps({"sessions": [SESSION]}).encode()) == []

    assert json.loads(recollection.for_the_next_worker) == [SESSION]

    recollection.note(b'{"sessions": []}')
    assert recollection.for_the_next_worker == b""


def test_a_turn_that_died() -> None:
    """Is ended without a text: the UI then keeps what it has streamed."""
    end, line = told(Recollection(), {"id": "a", "running": True, "fresh": False})

    assert end == {
        "type": "message.complete",
        "session_id": "a",
        "payload": {"status": "interrupted"},
    }
    assert line["payload"]["message"] == TURN_LOST


def test_a_turn_that_was_never_stored() -> None:
    """The user is told that the agent has forgotten it."""
    end, line = told(Recollection(), {"id": "a", "running": True, "fresh": True})

    assert end["type"] == "message.complete"
    assert line["payload"]["message"] == BEGUN_ANEW


def test_an_idle_session() -> None:
    """Goes on; whether it was stored makes no difference when nothing was said."""
    for fresh in (True, False):
        [line] = told(Recollection(), {"id": "a", "running": False, "fresh": fresh})

        assert line["payload"]["message"] == RESUMED


def test_none_came_back() -> None:
    """Nothing is said here: `gateway.ready` makes the UI start over."""
    assert told(Recollection()) == []
