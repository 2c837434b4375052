"""Whatever a client sends: `frames.parse`, the scopes and a seat, with hypothesis and by hand."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hermes_twisted import rpc
from hermes_twisted.access.keys import Scope
from hermes_twisted.limits import Limits
from tests.hostile import CORPUS, TEXTS
from tests.unit.seats.test_seat import LIMITS, Table


@pytest.fixture(autouse=True)
def large_integers() -> Iterator[None]:
    """What we echo may be a number that Python reads only on demand."""
    before = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    yield
    sys.set_int_max_str_digits(before)


CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
ERRORS = {-32700, -32600, -32001}


def said(table: Table) -> list[dict[str, Any]]:
    return [json.loads(text, parse_constant=_refuse) for text in table.link.sent]


def _refuse(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def check(scope: Scope, text: bytes) -> None:
    """One message: passed on as it is, or answered with one error; the next one is served."""
    table = Table(Limits(), scope=scope)

    table.seat.received(text)

    passed, answers = table.channel.submitted, said(table)
    assert len(passed) + len(answers) == (0 if not text.strip() else 1)
    for frame in passed:
        assert frame.text == text
        json.loads(frame.id)
    for answer in answers:
        assert answer["jsonrpc"] == "2.0"
        if "error" in answer:
            assert answer["error"]["code"] in ERRORS
            assert len(answer["error"]["message"]) < 400
        else:
            assert answer["result"] == {"ok": True}
    assert not table.link.told
    table.seat.received(b'{"id":"next","method":"session.list"}')
    assert table.channel.submitted[-1].id == b'"next"'


@pytest.mark.parametrize("scope", list(Scope))
@pytest.mark.parametrize("name", CORPUS)
def test_corpus(name: str, scope: Scope) -> None:
    """Every nasty message that is known by name."""
    check(scope, CORPUS[name]())


@settings(max_examples=400, suppress_health_check=CHECKS)
@given(st.sampled_from(list(Scope)), TEXTS)
def test_anything(scope: Scope, text: bytes) -> None:
    """Any text at all, most of them nearly requests."""
    check(scope, text)


@settings(max_examples=50, suppress_health_check=CHECKS)
@given(st.lists(TEXTS, min_size=1, max_size=40))
def test_many(texts: list[bytes]) -> None:
    """A client that reads nothing is held up before what waits for it grows without end."""
    table = Table(scope=Scope.CHAT)
    table.make_slow()

    for text in texts:
        if "pause" in table.link.told:
            break  # Its socket is not read any more.
        table.seat.received(text)

    held = table.seat._deferred
    assert len(held) <= LIMITS.max_waiting_requests + 1
    assert all(isinstance(what, bytes | rpc.Frame) for what in held)
