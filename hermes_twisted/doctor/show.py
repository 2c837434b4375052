"""Formats reports, for people and for programs."""

from __future__ import annotations

import json
import textwrap
from typing import Final, TextIO

from .findings import Level, Report

_COLOURS: Final = {Level.OK: "32", Level.WARNING: "33", Level.PROBLEM: "31;1"}
_MARGIN: Final = " " * 22


def as_json(report: Report) -> str:
    """Return the report as one JSON object."""
    return json.dumps(report.as_dict(), ensure_ascii=False, indent=2)


def as_text(report: Report, *, colours: bool, width: int = 100) -> str:
    """Return lines with level, layer and finding; reasons and next steps below them."""
    lines = [report.subject, ""]
    for found in report:
        level = f"{found.level.value:<9}"
        if colours:
            level = f"\x1b[{_COLOURS[found.level]}m{level}\x1b[0m"
        first, *more = _wrap(found.what, width)
        lines.append(f"  {level} {found.check:<9} {first.strip()}")
        lines += more
        if found.why:
            lines += _wrap(f"Why: {found.why}", width)
        if found.next:
            lines += _wrap(f"Next: {found.next}", width)
    problems, warnings = report.count(Level.PROBLEM), report.count(Level.WARNING)
    lines += ["", f"{_some(problems, 'problem')}, {_some(warnings, 'warning')}."]
    return "\n".join(lines)


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
