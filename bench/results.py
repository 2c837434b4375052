"""What was measured, as msgspec keeps it in a file; percentiles and ratios; Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Final

#: The parts of a run: client and server on a core each; nothing pinned; before a real Hermes.
PINNED: Final = "pinned"
UNPINNED: Final = "unpinned"
REAL: Final = "real"

#: What was found of one server in one round: by the key of a row in `targets.py`, or of a
#: figure, a value, or single times in seconds.
Found = dict[str, float | list[float]]


@dataclass
class Part:
    """The rounds of some servers that took turns under the same conditions."""

    servers: list[str]
    rounds: list[dict[str, Found]]
    """By server."""
    other_load: list[float]
    """What other programs used of the machine in each round, from 0 to 1."""
    left_out: int = 0
    """Rounds that do not count because other programs used more."""

    def of(self, key: str, server: str) -> list[float]:
        """Return the value of each round, or the times of all; empty if it was not measured."""
        values: list[float] = []
        for found in self.rounds:
            value = found.get(server, {}).get(key, [])
            values += value if isinstance(value, list) else [value]
        return values


@dataclass
class Results:
    """One run."""

    rounds: int
    machine: dict[str, str]
    parts: dict[str, Part] = field(default_factory=dict)


def percentile(values: Sequence[float], percent: int) -> float:
    """Return that percentile, from 1 to 99; of a single value, that value."""
    if len(values) < 2:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def ratio(above: Sequence[float], below: Sequence[float]) -> float | None:
    """Divide median by median; None without values or with a divisor of 0."""
    divisor = median(below) if above and below else 0
    return median(above) / divisor if divisor else None


def span(above: Sequence[float], below: Sequence[float]) -> tuple[float, float] | None:
    """Return the lowest and the highest ratio of single rounds; None with fewer than two."""
    ratios = [a / b for a, b in zip(above, below, strict=False) if b]
    return (min(ratios), max(ratios)) if len(ratios) > 1 else None


def digits(value: float, count: int = 3) -> str:
    """Write *count* significant digits; all digits before the point, none in exponents."""
    if abs(value) >= 10 ** (count - 1):
        return f"{value:,.0f}"
    text = f"{value:.{count}g}"
    return f"{float(text):.6f}".rstrip("0").rstrip(".") if "e" in text else text


def rotated(names: Sequence[str], turn: int) -> list[str]:
    """Return *names*, beginning with another one each *turn*."""
    first = turn % len(names)
    return [*names[first:], *names[:first]]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table with numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
