from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.live_ids import LiveIds
from hermes_twisted.hermes.restore import PATIENCE, restore_all
from hermes_twisted.shared.schema import RestoredSession, SavedSession

ONE = SavedSession("old1", stored_key="key1", cols=80, running=True)
TWO = SavedSession("old2", stored_key="key2", cols=None, running=False)


class Hermes:
    """Resumes the sessions that are stored, under new live ids."""

    def __init__(self, **stored: str) -> None:
        self.stored = stored
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.live_ids = LiveIds()

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any] | None:
        assert timeout == PATIENCE
        self.asked.append((request["method"], request["params"]))
        if request["method"] == "session.create":
            return {"id": request["id"], "result": {"session_id": "made"}}
        live = self.stored.get(request["params"]["session_id"])
        if live is None:
            return {"id": request["id"], "error": {"code": 4007}}
        return {"id": request["id"], "result": {"session_id": live}}

    def restore(self, *saved: SavedSession) -> Any:
        return restore_all(self.ask, self.live_ids, saved)


def test_sessions_come_back() -> None:
    """Each is resumed by its stored key and answers under the live id that the client knows."""
    hermes = Hermes(key1="new1", key2="new2")

    assert hermes.restore(ONE, TWO) == (
        RestoredSession("old1", running=True, fresh=False),
        RestoredSession("old2", running=False, fresh=False),
    )
    assert hermes.asked == [
        ("session.resume", {"session_id": "key1", "cols": 80}),
        ("session.resume", {"session_id": "key2"}),
    ]
    assert hermes.live_ids.of_client("new2") == "old2"


def test_a_session_that_was_never_stored() -> None:
    """A new one takes its place, as wide, under the same live id."""
    hermes = Hermes()

    assert hermes.restore(ONE) == (RestoredSession("old1", running=True, fresh=True),)
    assert hermes.asked[-1] == ("session.create", {"cols": 80})
    assert hermes.live_ids.of_client("made") == "old1"


@pytest.mark.parametrize(
    "answer",
    [
        None,
        {"error": {"code": 5000}},
        {"error": "odd"},
        {"result": None},
        {"result": {"session_id": 5}},
        {},
    ],
)
def test_a_session_that_does_not_come_back(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Then the client is told to start over: none counts as restored."""
    hermes = Hermes()
    hermes.ask = lambda request, timeout: answer  # type: ignore[method-assign]

    assert hermes.restore(ONE, TWO) is None


def test_hermes_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    """A failure is logged and raises into no lane."""
    hermes = Hermes()

    def fail(request: Any, timeout: float) -> None:
        raise RuntimeError

    hermes.ask = fail  # type: ignore[method-assign]

    assert hermes.restore(ONE) is None
    assert "could not be restored" in caplog.text
