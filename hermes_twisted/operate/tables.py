"""Tables for people: drawn by rich on a terminal, plain where a program reads."""

from __future__ import annotations

import io
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Final, TextIO

from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

#: Columns where there is no terminal: no line is broken, so that columns are stable.
_ENDLESS: Final = 100_000


def make(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    numeric: Collection[str] = (),
    styles: Sequence[str] = (),
) -> Table:
    """Return a table. The columns *numeric* are aligned to the right; *styles* are the rows'."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in headings:
        justify = "right" if name in numeric else "left"
        table.add_column(name, justify=justify, overflow="fold")  # type: ignore[arg-type]
    for number, row in enumerate(rows):
        # As text: else what is in brackets, such as an IPv6 address, would be markup.
        table.add_row(*map(Text, row), style=styles[number] if styles else "")
    return table


def as_text(*parts: RenderableType, colours: bool = False) -> str:
    """Return the *parts* as text; no line is broken, none ends in blanks.

    *colours* are those of a terminal (ECMA-48), whatever the environment says.
    """
    file = io.StringIO()
    console = Console(
        file=file,
        width=_ENDLESS,
        force_terminal=colours,
        color_system="standard" if colours else None,
        no_color=False,
        highlight=False,
    )
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def show(*parts: RenderableType, file: TextIO | None = None) -> None:
    """Write the *parts* to *file*, which is standard output unless given.

    In colours on a terminal, where NO_COLOR does not forbid it; else as `as_text` returns them.
    """
    output = sys.stdout if file is None else file
    if not output.isatty():
        print(as_text(*parts), file=output)
        return
    console = Console(file=output, highlight=False)
    for part in parts:
        console.print(part, soft_wrap=isinstance(part, Text))
