from __future__ import annotations

import json

import pytest

from hermes_twisted import rpc
from hermes_twisted.backends.early_requests import EarlyRequests
from hermes_twisted.shared.outbox import ANSWER, Outbox
from hermes_twisted.shared.problem import Problem
from hermes_twisted.shared.settlements import Settlements

EVERYTHING = 2**40


def request(number: int) -> rpc.Frame:
    text = json.dumps({"jsonrpc": "2.0", "id": number, "method": "m"}).encode()
    return rpc.parse(text, rpc.MAX_DEPTH, rpc.MAX_CONTAINERS)


def test_requests_are_kept_in_order() -> None:
    """And once: what was taken is not kept any longer."""
    early = EarlyRequests(Outbox(lambda: None), Settlements(lambda: None))
    frames = [request(number) for number in range(3)]
    for frame in frames:
        early.keep(frame)

    assert early.take() == frames
    assert early.take() == []


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (Problem("No Hermes.", "Install it."), "No Hermes. Install it."),
        (None, "Hermes is not running."),
    ],
)
def test_refusal(problem: Problem | None, message: str) -> None:
    """It is an error under the request's id that says what to do, and the request is settled."""
    outbox, settlements = Outbox(lambda: None), Settlements(lambda: None, count=1)
    frame = request(7)

    EarlyRequests(outbox, settlements).refuse(frame, problem)

    [(kind, _tag, text)] = outbox.take(EVERYTHING)
    assert kind == ANSWER
    assert json.loads(text)["id"] == 7
    assert json.loads(text)["error"] == {"code": rpc.SERVER_ERROR, "message": message}
    assert settlements.take() == (1, len(frame.text))
