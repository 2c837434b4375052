"""Rows of numbers, as Markdown."""

from __future__ import annotations

import sys

#: Values by their column's name.
Row = dict[str, float]


def table(rows: list[Row]) -> str:
    """Markdown."""
    lines = [f"| {' | '.join(rows[0])} |", f"|{' ---: |' * len(rows[0])}"]
    lines += [f"| {' | '.join(map(number, row.values()))} |" for row in rows]
    return "\n".join(lines)


def number(value: float) -> str:
    """Three digits that count, and no fewer where there are more before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def show(row: Row) -> None:
    """While more are measured."""
    print({name: number(value) for name, value in row.items()}, file=sys.stderr, flush=True)
