"""A server's status for people: lines about it, and a table of the seats."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from . import tables

HEADINGS: Final = (
    "SEAT", "KEY", "SCOPE", "FROM", "SINCE", "IN", "OUT", "QUEUE", "SHED", "WAITING", "PING",
    "SILENT",
)  # fmt: skip
#: The headings of columns with numbers, which are aligned to the right.
NUMERIC: Final = frozenset(("SEAT", "IN", "OUT", "QUEUE", "SHED", "WAITING", "PING", "SILENT"))


#: Shown instead of an empty table.
NOBODY: Final = "Nobody is attached."


def text(status: dict[str, Any]) -> str:
    """Return all of it in plain text, with columns that do not depend on a terminal."""
    return tables.as_text(*page(status))


def page(status: dict[str, Any]) -> list[RenderableType]:
    """Return the lines about the server, and the table, for rich to draw."""
    first, *others = summary(status)
    style = "green" if status["ready"] else "red"
    # A client that does not read, or is not read, stands out.
    styles = ["" if seat["writable"] and seat["reading"] else "yellow" for seat in status["seats"]]
    table = tables.make(HEADINGS, map(row, status["seats"]), numeric=NUMERIC, styles=styles)
    return [
        Text(first, style="bold"),
        *(Text(line, style=style) for line in others),
        Text(),
        table if status["seats"] else Text(NOBODY),
    ]


def summary(status: dict[str, Any], now: float | None = None) -> list[str]:
    """Return the lines about the server as a whole: itself, Hermes, and a problem, if any."""
    backend = status["backend"]
    up = duration((time.time() if now is None else now) - status["started"])
    hermes = f"Hermes {backend['hermes']}" if backend["hermes"] else "Hermes"
    lines = [
        f"hermes-twisted {status['version']}, process {status['pid']}, up {up}, "
        f"listening on {', '.join(status['listening'])}",
        f"{hermes} ({backend['kind']}): {backend['state']}; "
        f"loop lag {milliseconds(status['loop_lag'])}; {len(status['seats'])} attached",
    ]
    problem = backend["problem"] or status.get("reason")
    return [*lines, problem] if problem else lines


def row(seat: dict[str, Any]) -> tuple[str, ...]:
    """Return one line of the table, in the order of `HEADINGS`."""
    rates = seat["per_second"]
    return (
        str(seat["seat"]),
        seat["key"],
        seat["scope"],
        seat["peer"],
        f"{_clock(seat['since'])} ({duration(seat['attached_for'])})",
        f"{rates['frames_in']:g}/s {size(rates['bytes_in'])}/s",
        f"{rates['frames_out']:g}/s {size(rates['bytes_out'])}/s",
        size(seat["queued_bytes"]) + ("" if seat["writable"] else " slow"),
        str(seat["total"]["shed"]),
        str(seat["waiting_requests"]) + ("" if seat["reading"] else " paused"),
        "-" if seat["round_trip"] is None else milliseconds(seat["round_trip"]),
        duration(seat["silent_for"]),
    )


def duration(seconds: float) -> str:
    """Return a time in words, such as `42s`, `3m`, `5h12m`, `4d2h`."""
    whole = max(0, int(seconds))
    for unit, length, smaller, part in (("d", 86400, "h", 3600), ("h", 3600, "m", 60)):
        if whole >= length:
            return f"{whole // length}{unit}{whole % length // part}{smaller}"
    return f"{whole // 60}m" if whole >= 60 else f"{whole}s"


def size(count: float) -> str:
    """Return a number of bytes with a binary unit."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f}{unit}" if unit == "B" else f"{count:.1f}{unit}"
        count /= 1024
    return f"{count:.1f}GiB"


def milliseconds(seconds: float) -> str:
    """Return a time in milliseconds, such as `0.8ms`, `134ms`."""
    value = seconds * 1000
    return f"{value:.1f}ms" if value < 10 else f"{value:.0f}ms"


def _clock(since: float) -> str:
    return datetime.fromtimestamp(since).strftime("%Y-%m-%d %H:%M")  # In this terminal's zone.
