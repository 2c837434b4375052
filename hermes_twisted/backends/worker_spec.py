"""The backend `worker`: Hermes in a supervised child process."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..config.kinds import PATH, TIME
from ..config.option import Group, option, optional
from ..seats.ports import Backend
from .locate import Hermes, locate, worker_environment
from .spec import BackendSpec, Surroundings

#: Hermes' own variable for `--session-grace`, which wins if it is set.
SESSION_GRACE: Final = "HERMES_TUI_WS_ORPHAN_REAP_GRACE_S"


@dataclass(frozen=True)
class WorkerOptions:
    """The options of the backend `worker`."""

    hermes_python: Path | None = optional(
        PATH,
        group=Group.HERMES,
        help="Python interpreter of the environment that Hermes is installed in",
        default_text="looked for on PATH and in the usual places",
    )
    session_grace: float = option(
        300.0,
        TIME,
        group=Group.HERMES,
        help="Time for which Hermes (0.16 and later) keeps an idle session after its terminal has "
        "disconnected, so that it can be resumed as it was; 0 for ever",
    )


def build(surroundings: Surroundings, options: WorkerOptions) -> Backend:
    """Return the backend. Hermes is looked for when it starts."""
    from .worker import WorkerBackend  # Not imported by commands that serve nothing.

    def find() -> Hermes:
        return locate(options.hermes_python, surroundings.environ)

    environment = worker_environment(surroundings.environ, surroundings.home)
    environment.setdefault(SESSION_GRACE, f"{options.session_grace:g}")
    return WorkerBackend(
        surroundings.reactor,
        surroundings.limits,
        find,
        environment,
        umask=surroundings.umask,
        core_limit=surroundings.core_limit,
    )


SPEC: Final = BackendSpec(
    name="worker",
    help="Hermes in a process of its own",
    options=WorkerOptions,
    build=build,
    check="hermes_twisted.doctor.backends:check_worker",
)
