from __future__ import annotations

import json
import sys
from types import ModuleType
from typing import Any

import pytest

from hermes_twisted.hermes.cures import lost_questions
from hermes_twisted.hermes.cures.lost_questions import Questions

RESUMED = {"result": {"session_id": "s"}}


class Hermes:
    """What of Hermes tells which questions still wait."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.approvals: list[object] = []
        self.pending: dict[str, object] = {}
        server: Any = ModuleType("tui_gateway.server")
        server._sessions = {"s": {"session_key": "key"}}
        server._pending = self.pending
        tools: Any = ModuleType("tools.approval")
        tools._gateway_queues = {"key": self.approvals}
        monkeypatch.setitem(sys.modules, "tools.approval", tools)
        self.questions = Questions(server)

    def asks(self, kind: str, number: int, sid: str = "s") -> bytes:
        """An event, as a seat or the sink passes it on."""
        request = {} if kind == "approval" else {"request_id": f"r{number}"}
        params = {"type": f"{kind}.request", "session_id": sid, "payload": request}
        text = f"{kind} {number}".encode()
        self.questions.notice(params, text)
        return text


@pytest.fixture
def hermes(monkeypatch: pytest.MonkeyPatch) -> Hermes:
    return Hermes(monkeypatch)


@pytest.mark.parametrize("kind", ["clarify", "sudo", "secret", "terminal.read"])
def test_question_that_waits(hermes: Hermes, kind: str) -> None:
    """It is repeated as it was, as often as somebody takes the session over."""
    text = hermes.asks(kind, 1)
    hermes.pending["r1"] = object()

    assert hermes.questions.to_repeat(RESUMED) == [text]
    assert hermes.questions.to_repeat(RESUMED) == [text]


@pytest.mark.parametrize("kind", ["clarify", "approval"])
def test_question_that_was_answered(hermes: Hermes, kind: str) -> None:
    """What Hermes waits for no more, answered or given up, is not repeated."""
    hermes.asks(kind, 1)

    assert hermes.questions.to_repeat(RESUMED) == []


def test_approvals(hermes: Hermes) -> None:
    """They are answered in turn and have no names: the last ones are those that wait."""
    texts = [hermes.asks("approval", number) for number in range(3)]
    hermes.approvals += [1, 2]
    assert hermes.questions.to_repeat(RESUMED) == texts[1:]

    hermes.approvals += [3, 4, 5]
    assert hermes.questions.to_repeat(RESUMED) == texts


def test_end_of_the_turn(hermes: Hermes) -> None:
    """With its turn a question is over."""
    hermes.asks("clarify", 1)
    hermes.pending["r1"] = object()

    hermes.questions.notice({"type": "message.complete", "session_id": "s"}, b"")

    assert hermes.questions.to_repeat(RESUMED) == []


def test_other_sessions(hermes: Hermes) -> None:
    """Nobody is asked what another session waits to know."""
    hermes.asks("clarify", 1, sid="other")
    hermes.pending["r1"] = object()

    assert hermes.questions.to_repeat(RESUMED) == []


def test_where_hermes_does_it(hermes: Hermes) -> None:
    """An answer with `open_requests` has told already."""
    hermes.asks("clarify", 1)
    hermes.pending["r1"] = object()

    native = {"result": {"session_id": "s", "open_requests": []}}
    assert hermes.questions.to_repeat(native) == []


@pytest.mark.parametrize(
    "response", [None, {"error": {}}, {"result": None}, {"result": {"session_id": 5}}]
)
def test_answers_that_give_no_session(hermes: Hermes, response: Any) -> None:
    hermes.asks("clarify", 1)
    hermes.pending["r1"] = object()

    assert hermes.questions.to_repeat(response) == []


@pytest.mark.parametrize(
    "params",
    [
        {"type": "message.delta", "session_id": "s"},
        {"type": "clarify.request"},
        {"type": "clarify.request", "session_id": ""},
        {"type": "clarify.request", "session_id": 5},
        {"type": None, "session_id": "s"},
        {},
    ],
)
def test_what_is_no_question(hermes: Hermes, params: dict[str, Any]) -> None:
    """Nothing is kept of it."""
    hermes.questions.notice(params, b"")

    assert not hermes.questions._asked


def test_odd_question(hermes: Hermes) -> None:
    """One without a proper request id cannot be known to wait."""
    hermes.questions.notice({"type": "x.request", "session_id": "s", "payload": []}, b"")
    hermes.questions.notice(
        {"type": "x.request", "session_id": "s", "payload": {"request_id": 1}}, b""
    )

    assert hermes.questions.to_repeat(RESUMED) == []


def test_hermes_without_registers() -> None:
    """A release that does not tell what waits is asked for nothing more."""
    server: Any = ModuleType("tui_gateway.server")
    server._sessions = {}
    questions = Questions(server)
    for kind in ("approval", "clarify"):
        payload = {"request_id": "r1"}
        questions.notice({"type": f"{kind}.request", "session_id": "s", "payload": payload}, b"q")

    assert questions.to_repeat(RESUMED) == []


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions and questions are kept in bounded numbers, the latest of each."""
    monkeypatch.setattr(lost_questions, "SESSIONS", 2)
    hermes = Hermes(monkeypatch)
    hermes.pending.update({f"r{number}": object() for number in range(100)})
    texts = [hermes.asks("clarify", number) for number in range(50)]
    assert hermes.questions.to_repeat(RESUMED) == texts[-lost_questions.PER_SESSION :]

    hermes.asks("clarify", 1, sid="a")
    hermes.asks("clarify", 1, sid="b")

    assert set(hermes.questions._asked) == {"a", "b"}


def test_question_to_nobody(hermes: Hermes) -> None:
    """Asked while nobody was there, it is kept for whoever comes."""
    payload = {"request_id": "r1", "question": "Which?"}
    params = {"type": "clarify.request", "session_id": "s", "payload": payload}
    hermes.pending["r1"] = object()

    hermes.questions.lost({"jsonrpc": "2.0", "method": "event", "params": params})
    hermes.questions.lost({"jsonrpc": "2.0", "method": "event", "params": {"type": "x"}})
    hermes.questions.lost({"jsonrpc": "2.0", "id": 1, "result": {}})

    [text] = hermes.questions.to_repeat(RESUMED)
    assert json.loads(text)["params"] == params


def test_question_that_cannot_be_said(hermes: Hermes, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be put in JSON is left out, and raises into no agent."""
    endless: dict[str, Any] = {"request_id": "r1"}
    endless["self"] = endless

    hermes.questions.lost({"params": {"type": "x.request", "session_id": "s", "payload": endless}})

    assert not hermes.questions._asked
    assert "cannot be put in JSON" in caplog.text
