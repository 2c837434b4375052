"""Percentiles and ratios, how numbers are written, and Markdown tables."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles


def percentile(values: Sequence[float], percent: int) -> float:
    """That percentile, from 1 to 99; of a single value, that value."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Median divided by median; None without values or with a divisor of 0."""
    divisor = median(below) if above and below else 0
    return median(above) / divisor if divisor else None


def span(above: Sequence[float], below: Sequence[float]) -> tuple[float, float] | None:
    """The lowest and the highest ratio of single rounds; None with fewer than two."""
    ratios = [a / b for a, b in zip(above, below, strict=False) if b]
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def digits(value: float, count: int = 3) -> str:
    """*value* with *count* significant digits; all digits before the point, none in exponents."""
    if abs(value) >= 10 ** (count - 1):
        return f"{value:,.0f}"
    text = f"{value:.{count}g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text


def short(value: float) -> str:
    """A ratio: two significant digits."""
    return digits(value, 2)


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """*names*, beginning with another one each *turn*."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
