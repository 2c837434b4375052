from __future__ import annotations

import pytest

from bench.others import Moment, busy, quiet_rounds, share, watching
from bench.results import Found, Part


def test_busy() -> None:
    """Idle time and waiting for disks are not, and guests are not counted twice."""
    assert busy("cpu  100 20 3 5000 600 7 8 9 50 60") == 147


@pytest.mark.parametrize(("by_all", "expected"), [(5.0, 0.0), (9.0, 0.2), (99.0, 1.0), (4.0, 0.0)])
def test_share(by_all: float, expected: float) -> None:
    """Two cores for ten seconds, of which five seconds were ours."""
    before, after = Moment(0, 0, 0), Moment(10, by_all, 5)

    assert share(before, after, cores=2) == pytest.approx(expected)


def test_watching() -> None:
    shares: list[float] = []
    with watching(shares):
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
        part.add("P1", Found({"key": turn}, {"sample": [turn]}))
        part.others.append(shares[turn])

    whole = quiet_rounds(["P1"], 3, measure)

    assert turns == list(range(made))
    assert whole.others == kept
    assert whole.left_out == made - 3
    counted = [shares.index(each) for each in kept]
    assert whole.of("key", "P1") == counted
    assert whole.samples == {"sample": {"P1": counted}}
