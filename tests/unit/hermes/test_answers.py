from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from hermes_twisted.hermes.transport import Transport
from tests.unit.hermes.clients import EVERYTHING, GUARD, Client, answer


def test_a_response_is_owed_no_answer(client: Client) -> None:
    """What the client answers to a question of Hermes is answered by nobody."""
    client.handler = lambda request, transport: None

    client.ask(1, {"id": "srq-1", "result": {}})
    assert client.lanes.wait_quiet(GUARD)
    assert not client.seat.owes

    client.ask(2, {"id": "r1", "method": "long.one"})
    assert client.lanes.wait_quiet(GUARD)
    assert client.seat.owes
    client.write(answer("r1"))
    client.outbox.take(EVERYTHING)
    assert not client.seat.owes


def test_answers_bear_their_tags(client: Client) -> None:
    """What `dispatch` returns goes out under the tag of its request."""
    client.ask(3, {"id": "a", "method": "m"})
    client.ask(4, {"id": "b", "method": "m"})

    assert [(tag, said["id"]) for tag, said in client.answers()] == [(3, "a"), (4, "b")]


def test_late_answer(client: Client) -> None:
    """An answer that comes through `write`, when the handler has long returned, bears its tag."""
    client.handler = lambda request, transport: None
    client.ask(5, {"id": 1, "method": "long"})
    assert client.items() == []

    client.write(answer(1))

    assert client.answers() == [(5, answer(1))]


def test_early_answer(client: Client) -> None:
    """An answer that is written before `dispatch` returns bears its tag."""

    def handler(request: Any, transport: Transport) -> None:
        transport.write(answer(request["id"]))

    client.handler = handler
    client.ask(5, {"id": 1, "method": "long"})

    assert client.answers() == [(5, answer(1))]


def test_late_answers_in_any_order(client: Client) -> None:
    """Late answers find their tags by their ids, whatever their types."""
    identities = [1, 1.5, True, "1", None, "true", [1], {"a": 1}]
    client.handler = lambda request, transport: None
    for tag, identity in enumerate(identities, 1):
        client.ask(tag, {"id": identity, "method": "long"})
    client.items()

    for identity in reversed(identities):
        client.write(answer(identity))

    assert client.answers() == [
        (tag, answer(identity)) for tag, identity in reversed(list(enumerate(identities, 1)))
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, 1.0), (1, True), (1, "1"), (None, "None"), (1, "\x001"), (1, "('1',)"), ([1], "[1]")],
)
def test_similar_ids_are_different(client: Client, first: Any, second: Any) -> None:
    """Ids that Python would take for equal, or that look alike, are not mixed up."""
    client.handler = lambda request, transport: None
    client.ask(1, {"id": first, "method": "long"})
    client.ask(2, {"id": second, "method": "long"})
    client.items()

    client.write(answer(second))
    client.write(answer(first))

    assert [tag for tag, _said in client.answers()] == [2, 1]


def test_one_id_twice(client: Client) -> None:
    """Two requests under one id get their tags in the order in which they came."""
    client.handler = lambda request, transport: None
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "long"})
    client.items()

    for _ in range(3):
        client.write(answer("x"))

    assert [tag for tag, _said in client.answers()] == [1, 2, 0]


def test_returned_answer_takes_its_own_tag(client: Client) -> None:
    """A returned answer leaves the tag of an older request under the same id alone."""
    replies = iter([None, answer("x", "second")])
    client.handler = lambda request, transport: next(replies)
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "short"})

    assert client.answers() == [(2, answer("x", "second"))]
    client.write(answer("x", "first"))
    assert client.answers() == [(1, answer("x", "first"))]


def test_used_tags_are_forgotten(client: Client) -> None:
    """A late answer never gets the tag of an answered request that had the same id."""
    replies = iter([answer("x", "first"), None])
    client.handler = lambda request, transport: next(replies)
    client.ask(1, {"id": "x", "method": "short"})
    client.ask(2, {"id": "x", "method": "long"})
    assert client.answers() == [(1, answer("x", "first"))]

    client.write(answer("x", "second"))

    assert client.answers() == [(2, answer("x", "second"))]


def test_answered_twice(client: Client) -> None:
    """A handler that writes its answer and returns it, too, loses no other request's tag."""

    def handler(request: Any, transport: Transport) -> dict[str, Any] | None:
        if request["method"] == "long":
            return None
        transport.write(answer("x", "written"))
        return answer("x", "returned")

    client.handler = handler
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "both"})

    # What is written cannot be told apart: it gets the oldest tag under this id.
    assert client.answers() == [(1, answer("x", "written")), (2, answer("x", "returned"))]


def test_answered_twice_beside_another(client: Client) -> None:
    """A needless second answer leaves the tag of a newer request under the same id alone."""
    noted = threading.Event()

    def handler(request: Any, transport: Transport) -> dict[str, Any] | None:
        if request["method"] == "long":
            noted.set()
            return None
        transport.write(answer("x", "written"))
        client.ask(2, {"id": "x", "method": "long"}, urgent=True)
        assert noted.wait(GUARD)
        return answer("x", "returned")

    client.handler = handler
    client.ask(1, {"id": "x", "method": "both"})

    assert client.answers() == [(1, answer("x", "written")), (1, answer("x", "returned"))]
    client.write(answer("x", "late"))
    assert client.answers() == [(2, answer("x", "late"))]


def test_answer_to_nothing(client: Client) -> None:
    """An answer to a request that nobody made passes, without a tag."""
    client.write(answer("unknown"))

    assert client.answers() == [(0, answer("unknown"))]


@pytest.mark.parametrize("late", [False, True])
def test_what_follows_an_answer(client: Client, late: bool) -> None:
    """Events that belong behind an answer go out right behind it, and behind no other."""
    client.handler = lambda request, transport: None if late else answer(request["id"])
    client.ask(1, {"id": "a", "method": "follow"})
    client.ask(2, {"id": "b", "method": "other"})
    assert client.lanes.wait_quiet(GUARD)
    if late:
        client.write(answer("a"))
        client.write(answer("b"))

    said = [json.loads(text) for _kind, _tag, text in client.items()]

    assert said == [answer("a"), {"behind": "a"}, answer("b")]
