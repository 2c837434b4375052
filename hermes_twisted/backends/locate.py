"""Find the Python that Hermes is installed in, and make the worker's environment variables.

Runs in the front, and imports nothing of Hermes.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..shared.problem import Problem

#: Where Hermes' installer, pipx, uv and the container image put it. `~` is the home directory
#: of the server's user.
WELL_KNOWN: Final = (
    "~/.hermes/hermes-agent/venv/bin/python",
    "~/.hermes/hermes-agent/.venv/bin/python",
    "~/.local/share/uv/tools/hermes-agent/bin/python",
    "~/.local/share/pipx/venvs/hermes-agent/bin/python",
    "~/.local/pipx/venvs/hermes-agent/bin/python",
    "/usr/local/lib/hermes-agent/venv/bin/python",
    "/opt/hermes/.venv/bin/python",
    "/opt/hermes/venv/bin/python",
)
#: Bytes of the `hermes` command that are searched for the interpreter behind it.
_SCRIPT_HEAD: Final = 4096
_ADVICE: Final = (
    "Install hermes-agent (0.14 or later), or name the Python it is installed in with "
    "--hermes-python /path/to/venv/bin/python."
)


@dataclass(frozen=True)
class Hermes:
    """A Python interpreter that should have Hermes, and how it was found."""

    python: Path
    how: str


def locate(named: Path | None, environ: Mapping[str, str]) -> Hermes:
    """Return Hermes' interpreter: the *named* one, or the first that is found.

    Raises `Problem` if there is none.
    """
    if named is not None:
        if not _is_executable(named):
            raise Problem(
                f"--hermes-python {named} is not a program that can be run.",
                "Name the python inside the environment that hermes-agent is installed in.",
            )
        return Hermes(named, "--hermes-python")
    if importlib.util.find_spec("tui_gateway") is not None:
        return Hermes(Path(sys.executable), "this environment")
    looked = [f"this Python ({sys.executable})"]
    command = shutil.which("hermes", path=environ.get("PATH", os.defpath))
    if command is None:
        looked.append("the command `hermes` on PATH (absent)")
    else:
        looked.append(f"the interpreter behind {command}")
        for python in _behind(Path(command)):
            return Hermes(python, f"the command {command}")
    user_directory = environ.get("HOME") or os.path.expanduser("~")
    for place in WELL_KNOWN:
        python = Path(place.replace("~", user_directory, 1))
        looked.append(str(python))
        if _is_executable(python):
            return Hermes(python, "a well-known place")
    raise Problem("Hermes was not found. Looked at: " + "; ".join(looked) + ".", _ADVICE)


def _behind(command: Path) -> Iterator[Path]:
    """Yield the interpreters that the script *command* names, or that lie beside it."""
    real = command.resolve()
    try:
        with real.open("rb") as file:
            head = file.read(_SCRIPT_HEAD).decode("utf-8", "replace")
    except OSError:
        head = ""
    # A console script's first line, or a wrapper's `exec /path/to/venv/bin/hermes`.
    for match in re.finditer(r"(?:^#!\s*|[\s\"'])(/[^\s\"']*)", head):
        path = Path(match[1])
        if path.name == "hermes":
            path = path.with_name("python")
        if re.fullmatch(r"python[\d.]*", path.name) and _is_executable(path):
            yield path
    beside = real.with_name("python")
    if _is_executable(beside) and os.path.exists(real.parent.parent / "pyvenv.cfg"):
        yield beside


def _is_executable(path: Path) -> bool:
    # Not `path.is_file()`: it raises where a directory may not be entered.
    return os.path.isfile(path) and os.access(path, os.X_OK)


#: Variables that are the server's own, or concern its process only: the worker gets none.
_PRIVATE: Final = re.compile(
    r"HERMES_ATTACH_.*|HERMES_TUI_GATEWAY_URL|HERMES_TUI_SIDECAR_URL"
    r"|NOTIFY_SOCKET|WATCHDOG_.*|LISTEN_.*|CREDENTIALS_DIRECTORY|INVOCATION_ID|JOURNAL_STREAM"
    r"|PYTHONHOME|PYTHONPATH|PYTHONSTARTUP|__PYVENV_LAUNCHER__"
)


#: The size of Hermes' pool for long handlers, unless the operator has set it. One client may
#: use a quarter of it. Hermes' own default is 4 or 8.
POOL_VARIABLE: Final = "HERMES_TUI_RPC_POOL_WORKERS"
POOL_SIZE: Final = 16


def worker_environment(environ: Mapping[str, str], home: Path) -> dict[str, str]:
    """Return the environment of the worker, with *home* as `HERMES_HOME`.

    Hermes needs its user's: provider keys, proxies, locale, PATH for its tools. It does not
    get the server's: its keys, systemd's sockets and credentials, and the settings of its
    interpreter.
    """
    kept = {name: value for name, value in environ.items() if not _PRIVATE.fullmatch(name)}
    kept["HERMES_HOME"] = str(home)
    if not kept.get(POOL_VARIABLE):
        kept[POOL_VARIABLE] = str(POOL_SIZE)
    return kept
