"""Import Hermes and look at what it offers.

A release is recognised by its hooks, never by its number. A required hook that is missing is
a `Problem` that names it; an optional one is reported and not called.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from ..shared.problem import Problem
from ..shared.schema import Findings
from .code_reading import names_in
from .cures import process_state
from .cures.second_agent import builds_second_agent
from .cures.unknown_methods import answered_here

_log = logging.getLogger(__name__)

#: Without these no client can be served.
REQUIRED_HOOKS: Final = ("dispatch", "resolve_skin", "_sessions", "_methods", "_stdio_transport")
#: Optional hooks, each with the arguments of our call: a hook that does not take them has
#: changed, and is not called.
_HOOK_CALLS: Final[dict[str, tuple[tuple[object, ...], dict[str, object]]]] = {
    "_close_sessions_for_transport": ((None,), {"end_reason": ""}),
    "_schedule_ws_orphan_reap": (("",), {}),
    "_shutdown_sessions": ((), {}),
    "register_live_transport": ((None,), {}),
    "unregister_live_transport": ((None,), {}),
    "_ensure_skin_watcher": ((), {}),
    "_start_backend_heartbeat_refresher": ((), {}),
    "_schedule_startup_orphan_sweep": ((), {}),
}
OPTIONAL_HOOKS: Final = tuple(_HOOK_CALLS)
#: The promises in `gateway.ready` that are made if Hermes' own `tui_gateway.ws` makes them.
READY_PROMISES: Final = ("change_events", "heartbeat")


def check_config() -> None:
    """Check that Hermes can read its config.yaml: it takes a broken one for an empty one.

    Raises `Problem`.
    """
    home = Path(os.environ.get("HERMES_HOME") or Path.home() / ".hermes")
    path = home / "config.yaml"
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except (OSError, UnicodeError) as error:
        raise Problem(
            f"Hermes' configuration {path} cannot be read ({type(error).__name__}).",
            "Give the server's user the right to read it, or name another "
            "directory with --hermes-home.",
        ) from None
    try:
        yaml = importlib.import_module("yaml")
    except ImportError:
        return  # Then Hermes cannot be imported either, which `import_server` reports.
    try:
        content = yaml.safe_load(text)
    except Exception as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark is not None else ""
        raise Problem(
            f"Hermes' configuration {path} is not valid YAML{where}.",
            "Correct the file; `hermes doctor` checks it.",
        ) from None
    if not isinstance(content, dict | None):
        raise Problem(
            f"Hermes' configuration {path} is not a mapping.",
            "Correct the file; `hermes setup` writes a valid one.",
        )


def import_server() -> ModuleType:
    """Import `tui_gateway.server`, with the cure `process_state`. Raises `Problem`."""
    where = f"under {sys.executable}"
    try:
        with process_state.kept():
            return importlib.import_module("tui_gateway.server")
    except ModuleNotFoundError as error:
        if error.name in ("tui_gateway", "tui_gateway.server"):
            raise Problem(
                f"No Hermes with a terminal gateway (tui_gateway) {where}.",
                "Install hermes-agent 0.14 or later there, or name Hermes' "
                "interpreter with --hermes-python.",
            ) from None
        raise Problem(
            f"Hermes {where} is broken: it lacks the module {error.name}.",
            "Reinstall hermes-agent in that environment.",
        ) from None
    except (Exception, SystemExit) as error:
        _log.exception("importing Hermes failed")
        raise Problem(
            f"Hermes {where} is broken: its import failed with {type(error).__name__}.",
            "The log has the traceback; `hermes doctor` and a reinstallation may help.",
        ) from None


def look(server: ModuleType) -> Findings:
    """Return the findings about this Hermes. Raises `Problem` if the host cannot serve it."""
    missing = [name for name in REQUIRED_HOOKS if not hasattr(server, name)]
    missing = missing or [what for what, fits in _FORMS.items() if not fits(server)]
    version = _version()
    if missing:
        raise Problem(
            f"Hermes {version} under {sys.executable} cannot serve terminals: "
            f"tui_gateway.server has no {', '.join(missing)}.",
            "Install hermes-agent 0.14 or later; if it is newer than 0.19, look for a "
            "newer hermes-twisted.",
        )
    there = [name for name in OPTIONAL_HOOKS if callable(getattr(server, name, None))]
    found = tuple(name for name in there if _takes(getattr(server, name), *_HOOK_CALLS[name]))
    return Findings(
        version=version,
        python=sys.version.split()[0],
        methods=len(server._methods),
        hooks=found,
        left_out=tuple(name for name in OPTIONAL_HOOKS if name not in found),
        mcp_discovery=_transport_starts_mcp(),
        changed=tuple(name for name in there if name not in found),
        promises=_promises(),
        replays=replay_epoch() is not None,
        hands_over=_has_module("tui_gateway.server_requests"),
        answered_here=answered_here(server._methods),
        takes_over=builds_second_agent(server),
        pool=_pool_size(server),
    )


def _takes(
    function: Callable[..., Any], args: tuple[object, ...], kwargs: dict[str, object]
) -> bool:
    try:
        inspect.signature(function).bind(*args, **kwargs)
    except TypeError:
        return False
    except ValueError:
        return True  # Not written in Python: it cannot be looked at.
    return True


#: The forms that the required hooks must have, by their descriptions in a `Problem`.
_FORMS: Final[dict[str, Callable[[Any], bool]]] = {
    "dispatch(req, transport)": lambda server: _takes(server.dispatch, ({}, None), {}),
    "resolve_skin()": lambda server: _takes(server.resolve_skin, (), {}),
    "_sessions (a mapping)": lambda server: isinstance(server._sessions, MutableMapping),
    "_methods (a mapping)": lambda server: isinstance(server._methods, Mapping),
}


def _promises() -> tuple[str, ...]:
    """Return the promises that Hermes' own `tui_gateway.ws` makes in `gateway.ready`."""
    try:
        ws = importlib.import_module("tui_gateway.ws")
    except ImportError:
        return ()
    functions = filter(inspect.isfunction, vars(ws).values())
    names = frozenset().union(*map(names_in, functions))
    return tuple(name for name in READY_PROMISES if name in names)


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ImportError:
        return False


def replay_epoch() -> str | None:
    """Return the name of this process's numbering of events; None if Hermes numbers none."""
    try:
        replay = importlib.import_module("tui_gateway.event_replay")
        epoch = replay.replay_epoch()
    except (ImportError, AttributeError, TypeError):
        return None
    return epoch if isinstance(epoch, str) else None


def _pool_size(server: ModuleType) -> int:
    size = getattr(getattr(server, "_pool", None), "_max_workers", 0)
    return size if isinstance(size, int) else 0


def _version() -> str:
    try:
        return importlib.metadata.version("hermes-agent")
    except importlib.metadata.PackageNotFoundError:
        return "(version unknown)"


def _transport_starts_mcp() -> bool:
    """Return whether Hermes' own `tui_gateway.ws` starts MCP discovery: then the host does it."""
    try:
        ws = importlib.import_module("tui_gateway.ws")
        startup = importlib.import_module("hermes_cli.mcp_startup")
        names = ws.handle_ws.__code__.co_names
    except (ImportError, AttributeError):
        return False
    name = "start_background_mcp_discovery"
    return name in names and callable(getattr(startup, name, None))
