"""Every option of the server: one table, for the command line, environment, file and help."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from . import parsing

ENVIRONMENT_PREFIX: Final = "HERMES_ATTACH_"


@dataclass(frozen=True)
class Option:
    """One thing to decide."""

    name: str
    help: str
    convert: Callable[[str], Any] = parsing.text
    short: str | None = None
    default: Any = None
    repeated: bool = False
    flag: bool = False


def variable(name: str) -> str:
    """An option's name in the environment."""
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")
