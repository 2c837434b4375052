"""What is a target met, and what missed."""

from __future__ import annotations

import pytest

from bench.results import Part
from bench.targets import (
    FLOOR,
    INPROCESS,
    PEER,
    REAL_ROWS,
    ROWS,
    WORKER,
    Row,
    verdict,
)

LESS = Row("time", "time", 0.5, 0.8, floor=2)
MORE = Row("rate", "rate", 4, 2, floor=0.8, sign="≥")
ITSELF = Row("memory", "memory", None, 3, itself=True)


def part(**values: dict[str, float]) -> Part:
    """One round, by server and key."""
    return Part(list(values), [{server: {**found} for server, found in values.items()}], [0.0])


@pytest.mark.parametrize(("ours", "met"), [(4.9, True), (5.0, True), (5.1, False)])
def test_less_is_better(ours: float, met: bool) -> None:
    measured = part(inprocess={"time": ours}, P1={"time": 10})

    assert verdict(LESS, measured, INPROCESS) == ("≤ 0.5", met)


@pytest.mark.parametrize(("ours", "met"), [(39, False), (40, True), (41, True)])
def test_more_is_better(ours: float, met: bool) -> None:
    measured = part(inprocess={"rate": ours}, P1={"rate": 10})

    assert verdict(MORE, measured, INPROCESS) == ("≥ 4", met)


def test_each_backend_has_its_own() -> None:
    measured = part(inprocess={"time": 6}, worker={"time": 6}, P1={"time": 10})

    assert verdict(LESS, measured, INPROCESS) == ("≤ 0.5", False)
    assert verdict(LESS, measured, WORKER) == ("≤ 0.8", True)


def test_of_the_value_itself() -> None:
    """The peer has no say in it."""
    assert verdict(ITSELF, part(worker={"memory": 2.9}), WORKER) == ("≤ 3 itself", True)
    assert verdict(ITSELF, part(worker={"memory": 3.1}), WORKER) == ("≤ 3 itself", False)
    assert verdict(ITSELF, part(inprocess={"memory": 9}), INPROCESS) is None


def test_what_was_not_measured() -> None:
    assert verdict(LESS, part(P1={"time": 1}), INPROCESS) is None
    assert verdict(LESS, part(inprocess={"time": 1}), INPROCESS) is None
    assert verdict(LESS, part(inprocess={"time": 1}, P1={"time": 0}), INPROCESS) is None


def test_floor() -> None:
    measured = part(inprocess={"time": 3, "rate": 9, "memory": 1}, P4={"time": 1, "rate": 10})

    assert verdict(LESS, measured, INPROCESS, FLOOR) == ("≤ 2", False)
    assert verdict(MORE, measured, INPROCESS, FLOOR) == ("≥ 0.8", True)
    assert verdict(ITSELF, measured, INPROCESS, FLOOR) is None
    assert verdict(LESS, part(inprocess={"time": 3}), INPROCESS, FLOOR) is None


def test_rows() -> None:
    """Each is one of its kind; where there is a floor or a target, both backends can be judged."""
    keys = [row.key for row in (*ROWS, *REAL_ROWS)]

    assert len(keys) == len(set(keys))
    assert {PEER, FLOOR}.isdisjoint(keys)
    assert all(row.worker is not None for row in ROWS if row.inprocess is not None)
