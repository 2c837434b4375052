"""What the operator decides: from options, environment and a file, into one `Settings`.

Every option has one entry in `options.OPTIONS`, from which come the command line, the name
in the environment (`HERMES_ATTACH_` and the name in capitals), the key in the TOML
file and the help. The command line wins over the environment, the environment over
the file, the file over the default.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ..shared.problem import Problem
from . import parsing


def default_home(environ: Mapping[str, str]) -> Path:
    """Hermes' own rule: `HERMES_HOME`, else `~/.hermes`. Raises `Problem`."""
    named = environ.get("HERMES_HOME") or "~/.hermes"
    try:
        return parsing.path(named)
    except ValueError as error:
        raise Problem(f"Hermes' home {named!r} {error}. Name it with --hermes-home.") from None


def read_environment() -> Mapping[str, str]:
    """The process's environment; the one place that asks for it."""
    return os.environ
