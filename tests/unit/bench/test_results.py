from __future__ import annotations

import msgspec
import pytest

from bench.results import Part, Results, digits, percentile, ratio, rotated, span


def test_percentile() -> None:
    assert percentile([float(n) for n in range(101)], 90) == 90
    assert percentile([7.0], 99) == 7


def test_ratio_is_of_medians() -> None:
    """One bad round does not count."""
    assert ratio([1, 2, 90], [4, 4, 1]) == 0.5
    assert ratio([1, 2], [0, 0]) is None
    assert ratio([1], []) is None
    assert ratio([], [1]) is None


def test_span_is_of_single_rounds() -> None:
    """Round by round: what disturbed both is not between them."""
    assert span([1, 20], [2, 10]) == (0.5, 2)
    assert span([1], [2]) is None
    assert span([1, 2, 3], [0, 1, 1]) == (2, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (123456.7, "123,457"),
        (99.94, "99.9"),
        (0.01234, "0.0123"),
        (0.0000123, "0.000012"),
        (0, "0"),
    ],
)
def test_digits(value: float, text: str) -> None:
    assert digits(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(0.00096, "0.00096"), (0.555, "0.56"), (12.4, "12"), (1, "1"), (2.5, "2.5")]
)
def test_two_digits(value: float, text: str) -> None:
    assert digits(value, 2) == text


def test_rotated() -> None:
    """Each begins once in as many turns."""
    assert [rotated(["a", "b", "c"], turn)[0] for turn in range(4)] == ["a", "b", "c", "a"]
    assert rotated(["a", "b", "c"], 2) == ["c", "a", "b"]


def test_values_and_times() -> None:
    """The value of each round, and the times of all rounds; nothing of what was not measured."""
    part = Part(["P1"], [{"P1": {"cpu": 1, "times": [0.1, 0.2]}}, {"P1": {"times": [0.3]}}], [0, 0])

    assert part.of("cpu", "P1") == [1]
    assert part.of("times", "P1") == [0.1, 0.2, 0.3]
    assert part.of("times", "P4") == []


def test_results_are_kept() -> None:
    found = {"P1": {"cpu": 1.5, "times": [0.1, 0.2]}}
    results = Results(1, {"Memory": "a lot"}, {"pinned": Part(["P1"], [found], [0.25], left_out=1)})

    assert msgspec.json.decode(msgspec.json.encode(results), type=Results) == results
