"""Formats reports, for people and for programs."""

from __future__ import annotations

import json
import textwrap
from typing import Final, TextIO

from rich.text import Text

from ..operate import tables
from .findings import Level, Report

_STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "bold red"}
_MARGIN: Final = " " * 22


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(report.as_dict(), ensure_ascii=False, indent=2)


def as_text(report: Report, *, colours: bool, width: int = 100) -> str:
    """Return lines with level, layer and finding; reasons and next steps below them."""
    lines = [Text(report.subject), Text()]
    for found in report:
        first, *more = _wrap(found.what, width)
        level = (f"{found.level.value:<9}", _STYLES[found.level])
        lines.append(Text.assemble("  ", level, f" {found.check:<9} {first.strip()}"))
        if found.why:
            more += _wrap(f"Why: {found.why}", width)
        if found.next:
            more += _wrap(f"Next: {found.next}", width)
        lines += map(Text, more)
    problems, warnings = report.count(Level.PROBLEM), report.count(Level.WARNING)
    lines += [Text(), Text(f"{_some(problems, 'problem')}, {_some(warnings, 'warning')}.")]
    return tables.as_text(*lines, colours=colours)


def uses_colours(stream: TextIO, no_color: str | None) -> bool:
    """Return whether to use colours: on a terminal, unless NO_COLOR is set."""
    return stream.isatty() and not no_color


def _some(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"


def _wrap(text: str, width: int) -> list[str]:
    # Words are not broken: users copy commands and paths from here.
    return textwrap.wrap(
        "".join(c if c.isprintable() else "?" for c in text),
        width,
        initial_indent=_MARGIN,
        subsequent_indent=_MARGIN,
        break_long_words=False,
        break_on_hyphens=False,
    ) or [""]
