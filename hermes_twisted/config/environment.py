"""The process's environment, and the Hermes home that it names."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..shared.problem import Problem
from . import parsing


def default_home(environ: Mapping[str, str]) -> Path:
    """Return the Hermes home by Hermes' own rule: `HERMES_HOME`, else `~/.hermes`.

    Raises `Problem` if it names the home directory of an unknown user.
    """
    named = environ.get("HERMES_HOME") or "~/.hermes"
    try:
        return parsing.path(named)
    except ValueError as error:
        raise Problem(
            f"The Hermes home {named!r} {error}.", "Name the directory with --hermes-home."
        ) from None


def read_environment() -> Mapping[str, str]:
    """Return the environment as it is now. Nothing else in this package asks `os` for it."""
    return os.environ
