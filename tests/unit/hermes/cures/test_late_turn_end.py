from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from hermes_twisted.hermes.cures import late_turn_end
from hermes_twisted.hermes.cures.late_turn_end import PATIENCE, POLL, EndedTurns


def refusing(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.14 to 0.17 take a prompt in a turn."""
    return {"id": rid, "error": {"code": 4009, "message": "session busy"}}


def queueing(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.18 and later."""
    return {"id": rid, "result": {"status": "queued"}}


class Hermes:
    """One session whose turn ends after so many looks."""

    def __init__(self, looks: int = 3, submit: Any = refusing) -> None:
        self.session: dict[str, Any] = {"running": True}
        self.slept: list[float] = []
        self.looks = looks
        server: Any = ModuleType("tui_gateway.server")
        server._sessions = {"s": self.session}
        server._methods = {"prompt.submit": submit}
        self.turns = EndedTurns(server, self.sleep)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if len(self.slept) == self.looks:
            self.session["running"] = False

    def tell(self, kind: Any, sid: Any = "s") -> None:
        self.turns.notice({"type": kind, "session_id": sid})


def test_prompt_right_behind_a_turn() -> None:
    """It waits until Hermes too is done with the turn."""
    hermes = Hermes()
    hermes.tell("message.complete")

    hermes.turns.wait("s")

    assert hermes.slept == [POLL] * 3


@pytest.mark.parametrize("submit", [queueing, None])
def test_later_releases_queue_it_themselves(submit: Any) -> None:
    hermes = Hermes(submit=submit)
    hermes.tell("message.complete")

    hermes.turns.wait("s")

    assert hermes.slept == []


def test_prompt_in_a_turn() -> None:
    """Whether a turn that goes on is interrupted or the prompt refused is Hermes' business."""
    hermes = Hermes()
    hermes.tell("message.complete")
    hermes.tell("message.start")

    hermes.turns.wait("s")

    assert hermes.slept == []


@pytest.mark.parametrize("sid", ["s", "unknown"])
def test_prompt_before_any_turn(sid: str) -> None:
    hermes = Hermes()

    hermes.turns.wait(sid)

    assert hermes.slept == []


def test_turn_that_does_not_end() -> None:
    """The wait has an end: then Hermes says that it is busy."""
    hermes = Hermes(looks=10**9)
    hermes.tell("message.complete")

    hermes.turns.wait("s")

    assert sum(hermes.slept) == pytest.approx(PATIENCE)


def test_next_turn_begins_meanwhile() -> None:
    """A turn of Hermes' own, such as one that follows up a goal, is not waited for."""
    hermes = Hermes(looks=10**9)
    hermes.tell("message.complete")
    hermes.turns._sleep = lambda seconds: hermes.tell("message.start")

    hermes.turns.wait("s")


@pytest.mark.parametrize(("kind", "sid"), [("message.complete", None), ("x", "s"), (None, "s")])
def test_other_events(kind: Any, sid: Any) -> None:
    hermes = Hermes()

    hermes.tell(kind, sid)

    assert not hermes.turns._ended


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_turn_end, "SESSIONS", 2)
    hermes = Hermes()
    for sid in ("a", "b", "c"):
        hermes.tell("message.complete", sid)

    assert list(hermes.turns._ended) == ["b", "c"]
