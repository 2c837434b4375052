from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock

from hermes_twisted.seats.calls import GROUPS, OTHER, Calls, group_of, outcome_of
from hermes_twisted.testing import Tally

DATA = Path(__file__).parents[2] / "data"


def test_every_group_is_hermes_own() -> None:
    """The groups are those of the methods of all releases: none is missing, none made up."""
    lines = (line for file in DATA.glob("methods-*.txt") for line in file.read_text().splitlines())
    methods = {line.split()[0] for line in lines if line.strip() and not line.startswith("#")}

    assert {method.partition(".")[0] for method in methods} == GROUPS


@pytest.mark.parametrize(
    ("method", "group"),
    [
        ("prompt.submit", "prompt"),
        ("session.a.b", "session"),
        ("session", "session"),
        ("nobody.knows", OTHER),
        ("", OTHER),
        (".session", OTHER),
        ("x" * 10_000, OTHER),
    ],
)
def test_group(method: str, group: str) -> None:
    """What a client makes up does not become a label."""
    assert group_of(method) == group


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b'{"jsonrpc":"2.0","id":"r1","result":{"ok":true}}', "ok"),
        (b'{"jsonrpc": "2.0", "id": "r1", "result": {}}', "ok"),
        (b'{"jsonrpc":"2.0","id":"r1","error":{"code":-32601,"message":"x"}}', "error"),
        (b'{"jsonrpc": "2.0", "id": "r1", "error": {"code": 1}}', "error"),
        (b'{"error":{"code":1},"id":"r1","jsonrpc":"2.0"}', "error"),
        (b'{"id":"r1","result":{"error":"a word in a result"}}', "ok"),
        (b'{"id":"r1","result":"\\"error\\":"}', "ok"),
        (b'{"id":"r1","result":"' + b"x" * 1000 + b'","error":1}', "ok"),
        (b"", "ok"),
    ],
)
def test_outcome(answer: bytes, outcome: str) -> None:
    """By what comes first; an error inside a result is none of the request's."""
    assert outcome_of(answer, b'"r1"') == outcome


def test_outcome_behind_a_long_id() -> None:
    """However long the client's id is, and whatever it says."""
    identity = b'"' + b'\\"result\\":' * 100 + b'"'

    assert outcome_of(b'{"jsonrpc":"2.0","id":%b,"error":{}}' % identity, identity) == "error"


def test_durations() -> None:
    """Each request is timed by itself, from `begin` to its own answer."""
    clock, tally = Clock(), Tally()
    calls = Calls(tally, clock.seconds)

    calls.begin(1, "prompt.submit", b"1")
    clock.advance(2)
    calls.begin(2, "slash.exec", b"2")
    clock.advance(1)
    calls.end(2, b'{"id":2,"error":{}}')
    clock.advance(1)
    calls.end(1, b'{"id":1,"result":{}}')
    calls.end(1, b'{"id":1,"result":{}}')
    calls.end(0, b'{"id":7,"result":{}}')

    assert tally.observed == [("rpc", 1.0, ("slash", "error")), ("rpc", 4.0, ("prompt", "ok"))]
    assert len(calls) == 0


def test_lost() -> None:
    """What a worker took along is counted as lost, once."""
    clock, tally = Clock(), Tally()
    calls = Calls(tally, clock.seconds)
    calls.begin(1, "prompt.submit", b"1")
    clock.advance(3)

    calls.lose()
    calls.lose()
    calls.end(1, b"{}")

    assert tally.observed == [("rpc", 3.0, ("prompt", "lost"))]
