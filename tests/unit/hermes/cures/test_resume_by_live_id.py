from __future__ import annotations

from types import ModuleType
from typing import Any

import pytest

from hermes_twisted.hermes.code_reading import names_in
from hermes_twisted.hermes.cures import resume_by_live_id
from hermes_twisted.hermes.cures.resume_by_live_id import Resuming, builds_second_agent

KEY = "20260101_000000_aaaaaa"


class FakeDb:
    """Stored sessions: titles by key."""

    def __init__(self, titles: dict[str, str]) -> None:
        self.titles = titles

    def get_session(self, key: str) -> dict[str, str] | None:
        return {"id": key} if key in self.titles else None

    def get_session_by_title(self, title: str) -> dict[str, str] | None:
        return next(({"id": key} for key, said in self.titles.items() if said == title), None)

    def get_messages_as_conversation(self, key: str, *, include_ancestors: bool) -> list[Any]:
        return [{"role": "user", "text": "stored"}] if key in self.titles else []


def rebuilding(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.14 and 0.15 resume: whatever is live, a new agent is made."""
    return _make_agent(params["session_id"])  # type: ignore[name-defined]  # noqa: F821


def looking(rid: Any, params: dict[str, Any]) -> Any:
    """As 0.16 and later."""
    found = _find_live_session_by_key(params)  # type: ignore[name-defined]  # noqa: F821
    return found or _make_agent(params)  # type: ignore[name-defined]  # noqa: F821


class Hermes:
    """A server with one session, of a release that looks at what is live or does not."""

    def __init__(self, resume: Any = looking, **titles: str) -> None:
        self.session: dict[str, Any] = {
            "session_key": KEY,
            "transport": None,
            "agent": "agent",
            "running": True,
            "history": [{"role": "user", "text": "live"}],
        }
        server: Any = ModuleType("tui_gateway.server")
        server._sessions = {"live0001": self.session}
        server._methods = {"session.resume": resume, "session.activate": activate}
        server._get_db = lambda: FakeDb(titles)
        server._history_to_messages = list
        server._session_info = lambda agent: {"agent": agent}
        server._wait_agent = lambda session, rid: None
        self.server = server

    def resuming(self, *, binds: bool = False) -> Resuming:
        return Resuming(self.server, binds=binds)


def activate(rid: Any, params: dict[str, Any]) -> dict[str, Any]:
    return {"id": rid, "result": {"session_id": params["session_id"], "inflight": "words"}}


def resume(target: str, **more: Any) -> dict[str, Any]:
    return {"id": 1, "method": "session.resume", "params": {"session_id": target, **more}}


def test_live_id_of_a_stored_session() -> None:
    """A live id becomes the key under which Hermes finds the session; the rest stays."""
    found = Hermes(**{KEY: ""}).resuming().translate(resume("live0001", cols=80))

    assert found == resume(KEY, cols=80)


@pytest.mark.parametrize("target", [KEY, "a title", "unknown1"])
def test_what_is_no_live_id_passes(target: str) -> None:
    """Stored keys, titles and what nobody knows go to Hermes as they are."""
    request = resume(target)

    assert Hermes(**{KEY: "a title"}).resuming().translate(request) is request


def test_live_session_that_is_not_stored() -> None:
    """Before its first prompt a session is only live: it is activated."""
    found = Hermes().resuming().translate(resume("live0001"))

    assert (found["method"], found["params"]) == ("session.activate", {"session_id": "live0001"})


def test_live_session_that_is_not_stored_nor_activated() -> None:
    """Where nothing helps the request stays."""
    hermes = Hermes()
    del hermes.server._methods["session.activate"]

    assert hermes.resuming().translate(resume("live0001")) == resume("live0001")


def test_reaped_session() -> None:
    """A session that has ended is known by its live id as long as the worker lives."""
    hermes = Hermes(**{KEY: ""})
    resuming = hermes.resuming()
    resuming.notice("live0001")
    hermes.server._sessions.clear()

    assert resuming.translate(resume("live0001")) == resume(KEY)


def test_reaped_session_that_was_never_stored() -> None:
    """An empty talk is resumed as an empty talk."""
    hermes = Hermes()
    resuming = hermes.resuming()
    resuming.notice("live0001")
    hermes.server._sessions.clear()

    found = resuming.translate(resume("live0001", cols=90))

    assert (found["method"], found["params"]) == ("session.create", {"cols": 90})


def test_key_that_changes() -> None:
    """Compression gives a session another key: the last one counts."""
    hermes = Hermes(**{KEY: "", "later": ""})
    resuming = hermes.resuming()
    resuming.notice("live0001")
    hermes.session["session_key"] = "later"
    resuming.notice("live0001")
    hermes.server._sessions.clear()

    assert resuming.translate(resume("live0001")) == resume("later")


@pytest.mark.parametrize("sid", [None, 5, [], "unknown"])
def test_odd_ids(sid: Any) -> None:
    """What is no session's id is not remembered."""
    resuming = Hermes().resuming()

    resuming.notice(sid)

    assert not resuming._keys


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many sessions the oldest are forgotten."""
    monkeypatch.setattr(resume_by_live_id, "REMEMBERED", 2)
    hermes = Hermes(**{KEY: ""})
    resuming = hermes.resuming()
    for sid in ("a", "b", "c"):
        hermes.server._sessions[sid] = {"session_key": KEY}
        resuming.notice(sid)
    hermes.server._sessions.clear()

    assert resuming.translate(resume("a")) == resume("a")
    assert resuming.translate(resume("c")) == resume(KEY)


def test_database_that_cannot_be_asked() -> None:
    """Where we cannot tell what is stored, Hermes shall."""
    hermes = Hermes()
    del hermes.server._get_db

    assert hermes.resuming().translate(resume("live0001")) == resume(KEY)


@pytest.mark.parametrize(("handler", "second"), [(rebuilding, True), (looking, False)])
def test_who_builds_a_second_agent(handler: Any, second: bool) -> None:
    """Known by what the handler looks at, also behind a decorator."""
    hermes = Hermes(handler)
    assert builds_second_agent(hermes.server) is second

    def decorated(*args: Any) -> Any:
        return handler(*args)

    decorated.__wrapped__ = handler  # type: ignore[attr-defined]
    hermes.server._methods["session.resume"] = decorated
    assert builds_second_agent(hermes.server) is second


@pytest.mark.parametrize("handler", [None, object(), len])
def test_handlers_that_cannot_be_looked_at(handler: Any) -> None:
    """They are left alone."""
    hermes = Hermes(handler)

    assert names_in(handler) == frozenset()
    assert hermes.resuming().take_over(resume("live0001"), object()) is None


@pytest.mark.parametrize("name", resume_by_live_id.BUILDING_BLOCKS)
def test_nothing_is_taken_over_without_the_means(name: str) -> None:
    """A Hermes that lacks what our answer is made with resumes as it can."""
    hermes = Hermes(rebuilding)
    delattr(hermes.server, name)

    assert hermes.resuming().takes_over is False


def test_later_releases_take_over_themselves() -> None:
    """From 0.16 on nothing is answered here."""
    assert Hermes(looking).resuming().take_over(resume("live0001"), object()) is None


@pytest.mark.parametrize("target", ["live0001", KEY, "a title"])
def test_take_over(target: str) -> None:
    """The session that runs is given back, by whatever name it is called."""
    hermes, seat = Hermes(rebuilding, **{KEY: "a title"}), object()

    answer = hermes.resuming().take_over(resume(target, cols=77), seat)

    assert answer is not None
    result = answer["result"]
    assert answer["id"] == 1
    assert (result["session_id"], result["resumed"]) == ("live0001", KEY)
    assert result["inflight"] == "words"
    assert hermes.session["transport"] is seat
    assert hermes.session["cols"] == 77


def test_take_over_of_nothing() -> None:
    """A session that is not live is Hermes' to resume."""
    hermes = Hermes(rebuilding, **{"other": "t"})

    assert hermes.resuming().take_over(resume("other"), object()) is None
    assert hermes.session["transport"] is None


def test_take_over_prefers_what_works() -> None:
    """Of two agents on one talk the one that runs a turn is meant."""
    hermes = Hermes(rebuilding, **{KEY: ""})
    hermes.server._sessions["idle0002"] = {**hermes.session, "running": False}

    answer = hermes.resuming().take_over(resume(KEY), object())

    assert answer is not None
    assert answer["result"]["session_id"] == "live0001"


def old(**titles: str) -> Hermes:
    """0.14: it cannot describe a live session."""
    hermes = Hermes(rebuilding, **titles)
    del hermes.server._methods["session.activate"]
    return hermes


def test_description_of_0_14() -> None:
    """It has the shape of that release's answer, and what tells newer UIs that a turn runs."""
    answer = old(**{KEY: ""}).resuming().take_over(resume(KEY), object())

    assert answer is not None
    assert answer["result"] == {
        "session_id": "live0001",
        "session_key": KEY,
        "resumed": KEY,
        "message_count": 1,
        "messages": [{"role": "user", "text": "stored"}],
        "info": {"agent": "agent"},
        "running": True,
        "status": "working",
    }


def test_description_of_what_is_not_stored() -> None:
    """Then what Hermes has in memory tells what was said."""
    answer = old().resuming().take_over(resume("live0001"), object())

    assert answer is not None
    assert answer["result"]["messages"] == [{"role": "user", "text": "live"}]


@pytest.mark.parametrize(
    ("prompt", "running", "shown"),
    [("next", True, "next"), ("next", False, None), ("stored", True, None), (5, True, None)],
)
def test_prompt_of_a_running_turn(prompt: Any, running: bool, shown: str | None) -> None:
    """0.14 stores a prompt with its reply: until then it is known from having passed here."""
    hermes = old(**{KEY: ""})
    resuming = hermes.resuming()
    resuming.prompted("live0001", prompt)
    hermes.session["running"] = running

    answer = resuming.take_over(resume(KEY), object())

    assert answer is not None
    inflight = answer["result"].get("inflight")
    assert (inflight and inflight["user"]) == shown


def test_prompts_of_ended_sessions_are_forgotten() -> None:
    """What is kept of prompts is bounded by the sessions that live."""
    hermes = old()
    resuming = hermes.resuming()
    for number in range(10):
        resuming.prompted(f"gone{number}", "text")
    resuming.prompted("live0001", "text")

    assert set(resuming._prompts) == {"live0001"}


def test_agent_that_cannot_be_built() -> None:
    """The failure of an agent is Hermes' own error."""
    hermes = old()
    failed = {"id": 1, "error": {"code": 5032, "message": "agent initialization timed out"}}
    hermes.server._wait_agent = lambda session, rid: failed

    assert hermes.resuming().take_over(resume("live0001"), object()) is failed


@pytest.mark.parametrize("binds", [True, False])
def test_activate_moves_the_stream(binds: bool) -> None:
    """Where the transport says who gets events, whoever activates a session gets them."""
    hermes, seat = Hermes(), object()

    hermes.resuming(binds=binds).rebind({"result": {"session_id": "live0001"}}, seat)

    assert (hermes.session["transport"] is seat) is binds


@pytest.mark.parametrize("response", [None, {}, {"error": {}}, {"result": []}, {"result": {}}])
def test_failed_activation_moves_nothing(response: Any) -> None:
    hermes = Hermes()

    hermes.resuming(binds=True).rebind(response, object())

    assert hermes.session["transport"] is None
