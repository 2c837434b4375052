from __future__ import annotations

import json
from typing import Any

import pytest

from hermes_twisted.hermes.outgoing import INTERNAL_ERROR
from hermes_twisted.shared.outbox import DELTA, EVENT
from tests.unit.hermes.clients import Client, answer, event


@pytest.mark.parametrize(
    ("kind", "queued_as"),
    [
        ("message.delta", DELTA),
        ("reasoning.delta", DELTA),
        ("thinking.delta", DELTA),
        ("message.complete", EVENT),
        ("tool.delta", EVENT),
        ("message.start", EVENT),
        ("new.kind", EVENT),
        ("", EVENT),
        (None, EVENT),
        (5, EVENT),
        (["message.delta"], EVENT),
    ],
)
def test_only_known_deltas_may_be_shed(client: Client, kind: Any, queued_as: int) -> None:
    """Only the events whose text a later one carries whole are queued as deltas."""
    frame = event(kind, text="word")

    assert client.write(frame) is True

    [(queued, tag, text)] = client.items()
    assert (queued, tag, json.loads(text)) == (queued_as, 0, frame)


@pytest.mark.parametrize("params", [None, [], "x", 1])
def test_events_without_proper_params(client: Client, params: Any) -> None:
    """An event of an unusual form passes as it is."""
    assert client.write({"method": "event", "params": params}) is True

    assert json.loads(client.items()[0][2]) == {"method": "event", "params": params}


def test_questions_pass(client: Client) -> None:
    """A request of Hermes to the client has an id and a method: it is no answer."""
    client.write({"id": 1, "method": "ask", "params": {}})

    assert client.items()[0][0] == EVENT


def test_write_is_a_snapshot(client: Client) -> None:
    """What is sent is what was there when Hermes wrote it."""
    frame = event("x", items=[1])
    client.write(frame)

    frame["params"]["payload"]["items"].append(2)

    assert json.loads(client.items()[0][2]) == event("x", items=[1])


def test_write_keeps_order(client: Client) -> None:
    """Events and answers go out in the order in which Hermes wrote them."""
    for number in range(5):
        client.write(event("x", n=number) if number % 2 else answer(number))

    texts = [json.loads(text) for _kind, _tag, text in client.items()]
    numbers = [t["params"]["payload"]["n"] if "method" in t else t["id"] for t in texts]
    assert numbers == [0, 1, 2, 3, 4]


def test_endless_event_is_left_out(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be put in JSON is left out and logged without its content."""
    payload: dict[str, Any] = {"secret": "conversation"}
    payload["self"] = payload

    assert client.write(event("tool.complete", **{"p": payload})) is True
    assert client.write(event("x")) is True

    assert len(client.items()) == 1
    assert "tool.complete" in caplog.text
    assert "conversation" not in caplog.text


def test_endless_answer_becomes_an_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that cannot be put in JSON is replaced: the client waits for one."""
    loop: list[Any] = []
    loop.append(loop)
    client.handler = lambda request, transport: answer(request["id"], loop)

    client.ask(9, {"id": "q", "method": "m"})

    [(tag, said)] = client.answers()
    assert (tag, said["id"], said["error"]["code"]) == (9, "q", -32603)
    assert "cannot be put in JSON" in caplog.text


def test_write_never_raises(client: Client) -> None:
    """Nothing that Hermes writes raises into the thread of its agent."""

    class Broken:
        def __str__(self) -> str:
            raise KeyError("broken")

    assert client.write(event("x", thing=Broken())) is True
    assert client.items() == []

    client.handler = lambda request, transport: answer(request["id"], Broken())
    client.ask(3, {"id": "a", "method": "m"})
    assert client.answers() == [(3, {"jsonrpc": "2.0", "id": "a", "error": INTERNAL_ERROR})]

    assert client.write(answer(Broken)) is True
    assert client.write(answer([Broken()])) is True


def test_answer_whose_id_cannot_be_said(client: Client) -> None:
    """An answer whose very id cannot be put in JSON becomes an error without one."""
    endless: list[Any] = []
    endless.append(endless)
    client.handler = lambda request, transport: answer(endless)

    client.ask(3, {"id": 1, "method": "m"})

    assert client.answers() == [(3, {"jsonrpc": "2.0", "id": None, "error": INTERNAL_ERROR})]
