"""The checks that the backends name in their `BackendSpec`."""

from __future__ import annotations

from ..backends.inprocess_spec import InProcessOptions
from ..backends.worker_spec import WorkerOptions
from ..server.settings import Settings
from . import hermes
from .findings import Finding
from .server import ServerTools


def check_worker(options: WorkerOptions, settings: Settings, tools: ServerTools) -> list[Finding]:
    """Return the findings about the Hermes that the backend `worker` would run."""
    return hermes.check(options.hermes_python, tools.environ, settings.home, tools.inspect)


def check_in_process(
    options: InProcessOptions, settings: Settings, tools: ServerTools
) -> list[Finding]:
    """Return the findings about the Hermes that the backend `inprocess` would import."""
    return hermes.check(None, tools.environ, settings.home, tools.inspect)
