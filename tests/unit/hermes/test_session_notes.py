from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.outbox import ANSWER, EVENT, NOTE
from hermes_twisted.shared.schema import RestoredSession, SavedSession, SessionNote, decode
from tests.unit.hermes.clients import EVERYTHING, GUARD, Client, Handler, answer, echo

IDLE = SavedSession("s", stored_key="k", cols=80, running=False)
RUNNING = replace(IDLE, running=True)


class Noting(Client):
    """A client whose seat tells the front of its sessions."""

    def __init__(self, lanes: Any, handler: Handler = echo) -> None:
        super().__init__(lanes, handler, notes=True)

    def has_a_session(self) -> None:
        """Hermes binds one to this client."""
        self.sessions["s"] = {"session_key": "k", "cols": 80}

    def heard(self) -> list[Any]:
        """Notes, and the types of events, in their order."""
        return [
            decode(SessionNote, text) if kind == NOTE else json.loads(text)["params"]["type"]
            for kind, _tag, text in self.items()
        ]


def turn_event(kind: str, sid: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "event", "params": {"type": kind, "session_id": sid}}


@pytest.mark.parametrize("end", ["message.complete", "error"])
def test_turns_are_noted(pool: LanePool, end: str) -> None:
    """In their place: from before the first event of a turn until after its last."""
    client = Noting(pool)
    client.has_a_session()

    for kind in ("message.start", "message.delta", end):
        client.write(turn_event(kind, "s"))

    assert client.heard() == [
        SessionNote((RUNNING,)),
        "message.start",
        "message.delta",
        end,
        SessionNote((IDLE,)),
    ]


def seen_at_once(client: Noting) -> list[list[Any]]:
    """What whoever is roused finds: no more goes to the front before the process may end."""
    found: list[list[Any]] = []
    client.items()

    def look() -> None:
        if items := client.outbox.take(EVERYTHING):
            found.append([kind for kind, _tag, _text in items])

    client.outbox._wake = look
    return found


def test_the_end_of_a_turn_is_noted_with_it(pool: LanePool) -> None:
    """Killed between the two, a worker would leave behind a turn that is ended again."""
    client = Noting(pool)
    client.has_a_session()
    client.write(turn_event("message.start", "s"))
    found = seen_at_once(client)

    client.write(turn_event("message.complete", "s"))

    assert found == [[EVENT, NOTE]]


def test_a_new_session_is_noted_with_its_answer(pool: LanePool) -> None:
    """Killed between the two, a worker would leave a session that nobody resumes."""
    client = Noting(pool, lambda request, transport: answer(request["id"], {"session_id": "s"}))
    found = seen_at_once(client)
    client.has_a_session()

    client.ask(1, {"id": 1, "method": "session.create"})
    assert client.lanes.wait_quiet(GUARD)

    assert found == [[ANSWER, NOTE]]


def test_the_end_of_a_turn_that_cannot_be_put_in_json(pool: LanePool) -> None:
    """It is left out, and the turn is over all the same."""
    client = Noting(pool)
    client.has_a_session()
    client.write(turn_event("message.start", "s"))
    client.items()
    endless: list[Any] = []
    endless.append(endless)
    event = turn_event("message.complete", "s")
    event["params"]["payload"] = endless

    client.write(event)

    assert client.heard() == [SessionNote((IDLE,))]


def test_the_same_is_not_noted_twice(pool: LanePool) -> None:
    """A note goes out when something has changed."""
    client = Noting(pool)
    client.note_sessions()
    client.note_sessions()

    assert client.heard() == [SessionNote(())]


def test_notes_have_the_clients_ids(pool: LanePool) -> None:
    """So that the next worker resumes under them."""
    client = Noting(pool)
    client.seat.live_ids.add("first", "s")
    client.has_a_session()
    client.write(turn_event("message.start", "s"))

    assert client.heard()[0] == SessionNote((replace(RUNNING, live_id="first"),))


def test_odd_sessions(pool: LanePool) -> None:
    """A key or a width that is none is noted as unknown."""
    client = Noting(pool)
    client.sessions["s"] = {"session_key": 5, "cols": "wide"}
    client.note_sessions()

    assert client.heard() == [SessionNote((replace(IDLE, stored_key=None, cols=None),))]


def test_what_was_restored(pool: LanePool) -> None:
    """It is noted with the sessions as they are now, which then are not noted again."""
    client = Noting(pool)
    client.has_a_session()
    assert client.seat.notes is not None
    restored = (RestoredSession("s", running=True, fresh=False),)

    client.seat.notes.restored(restored)
    client.note_sessions()

    assert client.heard() == [SessionNote((IDLE,), restored)]


def test_without_notes(client: Client) -> None:
    """In one process with the front there is nobody to tell."""
    client.write(turn_event("message.start", "s"))

    assert [kind for kind, _tag, _text in client.items()] == [EVENT]
