"""The kinds of values that options have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from . import parsing
from .option import Kind


def one_of(metavar: str, *names: str) -> Kind[str]:
    """Return the kind whose values are these *names*."""
    notes = dict.fromkeys(names, "")
    return choice(metavar, lambda: notes)


def choice(metavar: str, choices: Callable[[], Mapping[str, str]]) -> Kind[str]:
    """Return the kind whose values are those that *choices* returns at the time of parsing.

    Each value has a note for the help, which may be empty.
    """

    def parse(value: str) -> str:
        return parsing.one_of(tuple(choices()), value)

    return Kind(metavar, parse, choices=choices)


def _write_size(value: int) -> str:
    for unit, factor in (("g", 1024**3), ("m", 1024**2), ("k", 1024)):
        if value % factor == 0:
            return f"{value // factor}{unit}"
    return str(value)


def _write_time(value: float) -> str:
    for unit, factor in (("h", 3600), ("m", 60)):
        if value and value % factor == 0:
            return f"{value / factor:g}{unit}"
    return f"{value:g}s"


TEXT: Final[Kind[str]] = Kind("TEXT", parsing.text)
ENDPOINT: Final[Kind[str]] = Kind("ENDPOINT", parsing.text)
PATH: Final[Kind[Path]] = Kind("PATH", parsing.path)
COUNT: Final[Kind[int]] = Kind("COUNT", parsing.count)
PORT: Final[Kind[int]] = Kind("PORT", parsing.port)
SIZE: Final[Kind[int]] = Kind("SIZE", parsing.size, _write_size)
TIME: Final[Kind[float]] = Kind("TIME", parsing.seconds, _write_time)
SOME_TIME: Final[Kind[float]] = Kind("TIME", parsing.some_seconds, _write_time)
HOST: Final[Kind[str]] = Kind("HOST", parsing.host)
HOST_NAME: Final[Kind[str]] = Kind("NAME", parsing.host_name)
ORIGIN: Final[Kind[str]] = Kind("ORIGIN", parsing.origin)
TLS: Final[Kind[str]] = Kind("self", parsing.tls)
LOG_FORMAT: Final = one_of("FORMAT", "text", "json")
LOG_LEVEL: Final = one_of("LEVEL", "debug", "info", "warn", "error")
