from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.cures.second_agent import TakeOver
from hermes_twisted.hermes.cures.unstored_prompt import Prompts
from tests.unit.hermes.cures.sessions import KEY, old, resume


@pytest.mark.parametrize(
    ("prompt", "running", "shown"),
    [("next", True, "next"), ("next", False, None), ("stored", True, None), (5, True, None)],
)
def test_prompt_of_a_running_turn(prompt: Any, running: bool, shown: str | None) -> None:
    """0.14 stores a prompt with its reply: until then it is known from having passed here."""
    hermes = old(**{KEY: ""})
    take_over = TakeOver(hermes.server, needed=True)
    take_over.prompted("live0001", prompt)
    hermes.session["running"] = running

    answer = take_over.answer(resume(KEY), object())

    assert answer is not None
    inflight = answer["result"].get("inflight")
    assert (inflight and inflight["user"]) == shown


def test_prompts_of_ended_sessions_are_forgotten() -> None:
    """What is kept of prompts is bounded by the sessions that live."""
    hermes = old()
    prompts = Prompts(hermes.server)
    for number in range(10):
        prompts.submitted(f"gone{number}", "text")
    prompts.submitted("live0001", "text")

    assert set(prompts._prompts) == {"live0001"}
