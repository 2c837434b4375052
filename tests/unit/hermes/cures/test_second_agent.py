from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.code_reading import names_in
from hermes_twisted.hermes.cures.second_agent import BUILDING_BLOCKS, TakeOver, builds_second_agent
from tests.unit.hermes.cures.sessions import KEY, Hermes, looking, old, rebuilding, resume


def take_over(hermes: Hermes) -> TakeOver:
    return TakeOver(hermes.server, needed=builds_second_agent(hermes.server))


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
    assert take_over(hermes).answer(resume("live0001"), object()) is None


@pytest.mark.parametrize("name", BUILDING_BLOCKS)
def test_nothing_is_taken_over_without_the_means(name: str) -> None:
    """A Hermes that lacks what our answer is made with resumes as it can."""
    hermes = Hermes(rebuilding)
    delattr(hermes.server, name)

    assert builds_second_agent(hermes.server) is False


def test_later_releases_take_over_themselves() -> None:
    """From 0.16 on nothing is answered here."""
    assert take_over(Hermes(looking)).answer(resume("live0001"), object()) is None


@pytest.mark.parametrize("target", ["live0001", KEY, "a title"])
def test_take_over(target: str) -> None:
    """The session that runs is given back, by whatever name it is called."""
    hermes, seat = Hermes(rebuilding, **{KEY: "a title"}), object()

    answer = take_over(hermes).answer(resume(target, cols=77), seat)

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

    assert take_over(hermes).answer(resume("other"), object()) is None
    assert hermes.session["transport"] is None


def test_take_over_prefers_what_works() -> None:
    """Of two agents on one talk the one that runs a turn is meant."""
    hermes = Hermes(rebuilding, **{KEY: ""})
    hermes.server._sessions["idle0002"] = {**hermes.session, "running": False}

    answer = take_over(hermes).answer(resume(KEY), object())

    assert answer is not None
    assert answer["result"]["session_id"] == "live0001"


def test_description_of_0_14() -> None:
    """It has the shape of that release's answer, and what tells newer UIs that a turn runs."""
    answer = take_over(old(**{KEY: ""})).answer(resume(KEY), object())

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
    answer = take_over(old()).answer(resume("live0001"), object())

    assert answer is not None
    assert answer["result"]["messages"] == [{"role": "user", "text": "live"}]


def test_agent_that_cannot_be_built() -> None:
    """The failure of an agent is Hermes' own error."""
    hermes = old()
    failed = {"id": 1, "error": {"code": 5032, "message": "agent initialization timed out"}}
    hermes.server._wait_agent = lambda session, rid: failed

    assert take_over(hermes).answer(resume("live0001"), object()) is failed
