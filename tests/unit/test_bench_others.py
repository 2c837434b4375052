from __future__ import annotations

import pytest

from bench.others import Moment, busy, share, watching


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
