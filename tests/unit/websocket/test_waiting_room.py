from __future__ import annotations

import json

import pytest

from hermes_twisted.access.handshake import Head
from hermes_twisted.access.refusals import KEY_WRONG
from hermes_twisted.limits import Limits
from hermes_twisted.websocket.waiting_room import Capacity, explanation, looks_like_terminal, reply


def head(**headers: list[bytes]) -> Head:
    named = {name.replace("_", "-").encode(): values for name, values in headers.items()}
    return Head(b"GET", b"/api/ws", b"HTTP/1.1", named)


@pytest.mark.parametrize("agent", [b"node", b"undici", b"Node"])
def test_the_stock_ui(agent: bytes) -> None:
    """It names its WebSocket library, and sends no origin."""
    assert looks_like_terminal(head(user_agent=[agent]))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"user_agent": [b"Mozilla/5.0"]},
        {"user_agent": [b"node/20"]},
        {"user_agent": [b"curl/8.0"]},
        {"user_agent": [b"node", b"undici"]},
        {"user_agent": [b"node"], "origin": [b"https://page.example"]},
        {"user_agent": [b"node"], "origin": [b""]},
    ],
)
def test_all_others(headers: dict[str, list[bytes]]) -> None:
    """They get their refusal over HTTP."""
    assert not looks_like_terminal(head(**headers))


def test_the_explanation() -> None:
    """A line that stays and one in the transcript, with what is wrong and what to do."""
    sticky, line = (json.loads(frame)["params"] for frame in explanation(KEY_WRONG))

    assert sticky["type"] == "notification.show"
    assert sticky["payload"]["level"] == "error"
    assert KEY_WRONG.title in sticky["payload"]["text"]
    assert line["type"] == "browser.progress"
    assert KEY_WRONG.advice in line["payload"]["message"]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (b'{"id":"r1","method":"session.create"}', {"id": "r1", "result": {}}),
        (b'{"id":7,"method":"shell.exec","params":{"command":"id"}}', {"id": 7, "result": {}}),
        (b'{"method":"x"}', {"id": None, "result": {}}),
    ],
)
def test_empty_answers(text: bytes, answer: dict[str, object]) -> None:
    """Whatever is asked, nothing is told."""
    assert json.loads(reply(text)) == {"jsonrpc": "2.0", **answer}


@pytest.mark.parametrize("text", [b"{", b"[]", b'{"id":1}', b"\xff"])
def test_bad_frames(text: bytes) -> None:
    """Are answered as everywhere."""
    assert "error" in json.loads(reply(text))


def test_capacity() -> None:
    """A few in all, fewer for one source."""
    capacity = Capacity(Limits(max_held=3, max_held_per_address=2))

    assert [capacity.take("a") for _ in range(3)] == [True, True, False]
    assert [capacity.take("b") for _ in range(2)] == [True, False]
    capacity.leave("a")
    assert capacity.take("b")
