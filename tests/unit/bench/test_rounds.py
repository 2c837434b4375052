"""Rounds that other programs disturb are measured again."""

from __future__ import annotations

import psutil
import pytest

from bench.machine import busy_seconds, measuring_other_load, other_share
from bench.results import Part
from bench.rounds import quiet_rounds


def test_busy() -> None:
    """Idle time and waiting for disks are not, and guests are not counted twice."""
    fields = dict.fromkeys(psutil.cpu_times()._fields, 0.0)
    fields |= {"user": 100, "nice": 20, "system": 3, "idle": 5000, "iowait": 600}
    fields |= {"irq": 7, "softirq": 8, "steal": 9, "guest": 50, "guest_nice": 60}

    assert busy_seconds(type(psutil.cpu_times())(**fields)) == 147


@pytest.mark.parametrize(("busy", "expected"), [(5.0, 0.0), (9.0, 0.2), (99.0, 1.0), (4.0, 0.0)])
def test_share(busy: float, expected: float) -> None:
    """Two cores for ten seconds, of which five seconds were ours."""
    assert other_share(20, busy, 5) == pytest.approx(expected)


def test_measuring_other_load() -> None:
    shares: list[float] = []
    with measuring_other_load(shares):
        sum(range(1000))

    assert len(shares) == 1
    assert 0 <= shares[0] <= 1


@pytest.mark.parametrize(
    ("shares", "kept", "made"),
    [
        ([0.0, 0.1, 0.05], [0.0, 0.1, 0.05], 3),
        ([0.0, 0.5, 0.05, 0.02], [0.0, 0.05, 0.02], 4),
        ([0.5, 0.4, 0.3, 0.6, 0.05, 0.7], [0.4, 0.3, 0.05], 6),
    ],
)
def test_disturbed_rounds_are_done_again(shares: list[float], kept: list[float], made: int) -> None:
    """Up to as many again; of too few quiet ones, the quietest count."""
    turns: list[int] = []

    def measure(part: Part, turn: int) -> None:
        turns.append(turn)
        part.add("P1", {"key": turn, "sample": [turn, turn]})
        part.other_load.append(shares[turn])

    whole = quiet_rounds(["P1"], 3, measure)

    assert turns == list(range(made))
    assert whole.other_load == kept
    assert whole.left_out == made - 3
    counted = [shares.index(each) for each in kept]
    assert whole.of("key", "P1") == counted
    assert whole.of("sample", "P1") == [turn for turn in counted for _ in range(2)]
