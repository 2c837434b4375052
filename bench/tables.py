"""Tables, as Markdown."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .stats import digits

#: Values by their column's name.
Row = dict[str, float]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table with numbers to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def table_of(rows: Sequence[Row]) -> str:
    """One of rows with the same columns."""
    return table([*rows[0]], [[digits(value) for value in row.values()] for row in rows])


def show(row: Row) -> None:
    """While more are measured."""
    print({name: digits(value) for name, value in row.items()}, file=sys.stderr, flush=True)
