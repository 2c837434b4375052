from __future__ import annotations

import json
from typing import Any

import pytest

from hermes_twisted.shared.packets import BadPacket
from hermes_twisted.shared.problem import Problem
from hermes_twisted.shared.schema import (
    Findings,
    Inspection,
    RestoredSession,
    SavedSession,
    SavedSessions,
    SessionNote,
    WorkerSettings,
    decode,
    encode,
)

SESSION = SavedSession("live", stored_key=None, cols=80, running=True)
MESSAGES = [
    WorkerSettings(1, 2, 3, 4, 5, 6, 7, 8, shutdown=5.0, umask=0o77, core_limit=None),
    Findings("0.19.0", methods=3, hooks=("a", "b"), replays=True),
    Problem("It is broken: \ud800.", "Repair it."),
    SavedSessions(()),
    SavedSessions((SESSION, SavedSession("é\ud800", stored_key="k", cols=None, running=False))),
    SessionNote((SESSION,), (RestoredSession("live", running=True, fresh=False),)),
    Inspection(None, Problem("No.", "Yes."), None, None),
    Inspection(Problem("Bad YAML.", ""), None, Findings("1", methods=2), provider=True),
]


@pytest.mark.parametrize("message", MESSAGES)
def test_round_trip(message: Any) -> None:
    """What is decoded equals what was encoded."""
    assert decode(type(message), encode(message)) == message


def changed(message: Any, **fields: Any) -> bytes:
    """A message with other fields; those that are `...` are left out."""
    found = {**json.loads(encode(message)), **fields}
    return json.dumps({name: value for name, value in found.items() if value is not ...}).encode()


@pytest.mark.parametrize(
    ("message", "fields", "words"),
    [
        (Findings("1", methods=2), {"pool": ...}, r"Findings\.pool is missing"),
        (Findings("1", methods=2), {"colour": 1}, r"Findings\.colour is unknown"),
        (Findings("1", methods=2), {"pool": "x"}, r"Findings\.pool has the wrong type"),
        (Findings("1", methods=2), {"pool": True}, r"Findings\.pool has the wrong type"),
        (Findings("1", methods=2), {"hooks": "x"}, r"Findings\.hooks has the wrong type"),
        (Findings("1", methods=2), {"hooks": ["a", 1]}, r"Findings\.hooks\[1\] has the wrong type"),
        (Problem("a", "b"), {"advice": ...}, r"Problem\.advice is missing"),
        (SavedSessions(()), {"sessions": [5]}, r"SavedSessions\.sessions\[0\] is not an object"),
        (
            SavedSessions(()),
            {"sessions": [{"live_id": "a"}]},
            r"SavedSessions\.sessions\[0\]\.\w+ is missing",
        ),
    ],
)
def test_other_fields(message: Any, fields: dict[str, Any], words: str) -> None:
    """A field that is missing, unknown or of another type is an error that names it."""
    with pytest.raises(BadPacket, match=words):
        decode(type(message), changed(message, **fields))


@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", b"null", b"5"])
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(BadPacket, match="Findings is not"):
        decode(Findings, data)


def test_a_whole_number_of_seconds() -> None:
    """JSON knows no difference between 5 and 5.0."""
    settings = MESSAGES[0]

    assert decode(WorkerSettings, changed(settings, shutdown=5)) == settings


def test_findings_in_words() -> None:
    """What there is none of is not mentioned."""
    assert Findings("1", methods=133).describe() == "133 methods"
    assert Findings("1", methods=1, hooks=("a", "b"), answered_here=("pet.cells",)).describe() == (
        "1 methods; hooks found: a, b; answered in its place: pet.cells"
    )
