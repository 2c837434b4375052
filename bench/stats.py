"""Small sums, and how their results are written. Nothing here measures."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median, quantiles


def percentile(values: Sequence[float], percent: int) -> float:
    """That percentile, from 1 to 99; of a single value, that value."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def at_share(ordered: Sequence[float], share: float) -> float:
    """The value that this *share*, from 0 to 1, of *ordered* values does not exceed."""
    index = min(len(ordered) - 1, max(0, round(share * len(ordered)) - 1))
    return ordered[index]


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Median by median; None where the lower one is nothing."""
    divisor = median(below)
    return median(above) / divisor if divisor else None


def span(above: Sequence[float], below: Sequence[float]) -> tuple[float, float] | None:
    """The lowest and the highest ratio of single rounds; None where there are not two."""
    ratios = [a / b for a, b in zip(above, below, strict=False) if b]
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def digits(value: float) -> str:
    """*value* with the three digits that count."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    text = f"{value:.3g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text


def short(value: float) -> str:
    """A ratio: two digits that count."""
    if abs(value) >= 10:
        return f"{value:,.0f}"
    text = f"{value:.2g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text


def turned(names: Sequence[str], turn: int) -> list[str]:
    """*names*, beginning with another one each *turn*."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]
