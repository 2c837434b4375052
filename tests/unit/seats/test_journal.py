"""Which events are written down, and how many."""

from __future__ import annotations

from collections import Counter

import pytest

from hermes_twisted.access.keys import Key, Scope
from hermes_twisted.access.refusals import HOST_REFUSED, KEY_WRONG, Refusal
from hermes_twisted.access.rules import Admitted
from hermes_twisted.seats.journal import REFUSALS, Journal, NullAudit
from hermes_twisted.testing.audit import MemoryAudit

SECRET = "correct-horse-battery-staple"


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def notes() -> MemoryAudit:
    return MemoryAudit()


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def journal(notes: MemoryAudit, time: Time) -> Journal:
    return Journal(notes, time)


def test_admitted(journal: Journal, notes: MemoryAudit) -> None:
    """The key's name and scope, never what it consists of."""
    key = Key.of("laptop", SECRET, Scope.WATCH)

    journal.admitted(Admitted(key), "127.0.0.1:9")

    [event] = notes.events
    assert event == {
        "event": "admitted",
        "peer": "127.0.0.1:9",
        "key": "laptop",
        "key_id": "laptop",
        "scope": "watch",
    }


def test_refused(journal: Journal, notes: MemoryAudit) -> None:
    """Why, for programs, and who."""
    journal.refused(Refusal(401, "a-code", "A title", "Advice."), "[::1]:9")

    [event] = notes.events
    assert event == {"event": "refused", "reason": "a-code", "status": 401, "peer": "[::1]:9"}


def test_refusals_are_bounded(journal: Journal, notes: MemoryAudit, time: Time) -> None:
    """So many a minute for each reason; the rest are counted, and the count is written."""
    for number in range(1000):
        journal.refused(KEY_WRONG, f"127.0.0.1:{number}")
        journal.refused(HOST_REFUSED, f"127.0.0.1:{number}")

    assert Counter(event["status"] for event in notes.events) == {401: REFUSALS, 403: REFUSALS}

    time.now += 59
    journal.refused(KEY_WRONG, "127.0.0.1:1")
    assert len(notes.events) == 2 * REFUSALS

    time.now += 1
    journal.refused(KEY_WRONG, "127.0.0.1:2")
    more, refused = notes.events[2 * REFUSALS :]
    assert (more["event"], more["count"]) == ("more-refused", 1001 - REFUSALS)
    assert more["reason"] == refused["reason"] == notes.events[0]["reason"]
    assert refused["peer"] == "127.0.0.1:2"


def test_counts_are_settled(journal: Journal, notes: MemoryAudit) -> None:
    """What was only counted is written when it is asked for, once, and at the latest at the end."""
    for _ in range(REFUSALS + 3):
        journal.refused(KEY_WRONG, "127.0.0.1:1")
    journal.settle()
    journal.settle()
    journal.refused(KEY_WRONG, "127.0.0.1:1")

    journal.stopped()

    assert [event.get("count") for event in notes.events[REFUSALS:]] == [3, 1, None]
    assert notes.events[-1]["event"] == "server-stopped"
    assert notes.closed


def test_nothing_is_kept() -> None:
    """Without an audit log, the same calls do nothing."""
    journal = Journal(NullAudit(), Time())

    journal.started(version="1")
    journal.refused(KEY_WRONG, "127.0.0.1:1")
    journal.stopped()


def test_nothing_after_the_end(journal: Journal, notes: MemoryAudit) -> None:
    """A request on a connection that lingers does not open the record again; a new start does."""
    journal.stopped()
    journal.refused(KEY_WRONG, "127.0.0.1:1")
    assert [event["event"] for event in notes.events] == ["server-stopped"]

    notes.closed = False
    journal.started(version="1")
    journal.refused(KEY_WRONG, "127.0.0.1:1")
    assert notes.events[-1]["event"] == "refused"
