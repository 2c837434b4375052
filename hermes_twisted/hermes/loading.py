"""Import Hermes, cure what the import does to the process, find what it offers.

Nothing goes by version number: a release is known by its hooks. One that we cannot
do without is named in the refusal; one that we can is left out and reported.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import inspect
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from .problem import HostProblem

_log = logging.getLogger(__name__)

#: Without these no client can be served.
REQUIRED_HOOKS: Final = ("dispatch", "resolve_skin", "_sessions", "_methods", "_stdio_transport")
#: With these more is possible; what is absent is reported and done without.
OPTIONAL_HOOKS: Final = (
    "_close_sessions_for_transport",
    "_schedule_ws_orphan_reap",
    "_shutdown_sessions",
    "register_live_transport",
    "unregister_live_transport",
    "_ensure_skin_watcher",
    "_start_backend_heartbeat_refresher",
    "_schedule_startup_orphan_sweep",
)


@dataclass(frozen=True)
class Findings:
    """What was found of Hermes."""

    version: str
    python: str
    methods: int
    hooks: tuple[str, ...]
    left_out: tuple[str, ...]
    mcp_discovery: bool
    """Whether this release wants its transport to start MCP discovery."""
    pool: int
    """Threads of Hermes' own pool for long handlers; 0 if it has none that we know."""

    def as_dict(self) -> dict[str, Any]:
        """For the report to the front."""
        return asdict(self)


def check_config() -> None:
    """Refuse a config.yaml that Hermes would silently take for an empty one."""
    home = Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes")
    path = home / "config.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeError) as error:
        raise HostProblem(
            f"Hermes' configuration {path} cannot be read ({type(error).__name__}).",
            "Give the server's user the right to read it, or name another "
            "directory with --hermes-home.",
        ) from None
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        return  # Then Hermes cannot be imported either, and that is said next.
    try:
        content = yaml.safe_load(text)
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise HostProblem(
            f"Hermes' configuration {path} is not valid YAML{where}.",
            "Correct the file; `hermes doctor` checks it.",
        ) from None
    if not isinstance(content, dict | None):
        raise HostProblem(
            f"Hermes' configuration {path} does not hold a mapping.",
            "Correct the file; `hermes setup` writes a valid one.",
        )


@contextlib.contextmanager
def _process_state_kept() -> Iterator[None]:
    """`tui_gateway.server` replaces stdout and both exception hooks at import."""
    stdout, hook, thread_hook = sys.stdout, sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        sys.stdout, sys.excepthook, threading.excepthook = stdout, hook, thread_hook


def import_server() -> ModuleType:
    """`tui_gateway.server`, with stdout and the exception hooks as they were."""
    where = f"under {sys.executable}"
    try:
        with _process_state_kept():
            return importlib.import_module("tui_gateway.server")
    except ModuleNotFoundError as error:
        if error.name in ("tui_gateway", "tui_gateway.server"):
            raise HostProblem(
                f"No Hermes with a terminal gateway (tui_gateway) {where}.",
                "Install hermes-agent 0.14 or later there, or name Hermes' "
                "interpreter with --hermes-python.",
            ) from None
        raise HostProblem(
            f"Hermes {where} is broken: it lacks the module {error.name}.",
            "Reinstall hermes-agent in that environment.",
        ) from None
    except (Exception, SystemExit) as error:
        _log.exception("importing Hermes failed")
        raise HostProblem(
            f"Hermes {where} is broken: its import failed with {type(error).__name__}.",
            "The log has the traceback; `hermes doctor` and a reinstallation may help.",
        ) from None


def look(server: ModuleType) -> Findings:
    """What this Hermes offers. Raises `HostProblem` when that is not enough."""
    missing = [name for name in REQUIRED_HOOKS if not hasattr(server, name)]
    if not missing and not _takes_transport(server.dispatch):
        missing = ["dispatch(req, transport)"]
    version = _version()
    if missing:
        raise HostProblem(
            f"Hermes {version} under {sys.executable} lacks what a terminal is served "
            f"with: tui_gateway.server has no {', '.join(missing)}.",
            "Install hermes-agent 0.14 or later; if it is newer than 0.19, look for a "
            "newer hermes-twisted.",
        )
    found = tuple(name for name in OPTIONAL_HOOKS if callable(getattr(server, name, None)))
    return Findings(
        version=version,
        python=sys.version.split()[0],
        methods=len(server._methods),
        hooks=found,
        left_out=tuple(name for name in OPTIONAL_HOOKS if name not in found),
        mcp_discovery=_transport_starts_mcp(),
        pool=_pool_size(server),
    )


def _takes_transport(dispatch: Callable[..., Any]) -> bool:
    try:
        inspect.signature(dispatch).bind({}, None)
    except TypeError:
        return False
    return True


def _pool_size(server: ModuleType) -> int:
    size = getattr(getattr(server, "_pool", None), "_max_workers", 0)
    return size if isinstance(size, int) else 0


def _version() -> str:
    try:
        return importlib.metadata.version("hermes-agent")
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def _transport_starts_mcp() -> bool:
    """Whether upstream's own socket handler starts MCP discovery: then so do we."""
    try:
        ws = importlib.import_module("tui_gateway.ws")
        startup = importlib.import_module("hermes_cli.mcp_startup")
        names = ws.handle_ws.__code__.co_names
    except (ImportError, AttributeError):
        return False
    name = "start_background_mcp_discovery"
    return name in names and callable(getattr(startup, name, None))
