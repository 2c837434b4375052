"""Check Hermes on this machine: its interpreter, release and configuration, and a provider."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Final

from ..backends.locate import Hermes, locate, worker_environment
from ..shared.packets import BadPacket
from ..shared.problem import Problem
from ..shared.schema import Inspection, decode
from .findings import Finding, ok, problem, warning

#: Seconds that the inspecting process may take.
_TIMEOUT: Final = 60.0

#: Inspects the Hermes of a Python interpreter. Returns a text with the reason if that fails.
Inspect = Callable[[Path], Inspection | str]


def inspector(environ: Mapping[str, str], home: Path) -> Inspect:
    """Return a function that inspects Hermes in a process with the worker's environment."""
    environment = worker_environment(environ, home)

    def inspect(python: Path) -> Inspection | str:
        with resources.as_file(resources.files("hermes_twisted.hermes")) as folder:
            try:
                done = subprocess.run(  # noqa: S603  (what the server itself would run)
                    [str(python), "-P", str(folder / "inspect_main.py")],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    timeout=_TIMEOUT,
                    env=environment,
                    check=False,
                )
            except OSError as error:
                return f"it cannot be run: {error.strerror}"
            except subprocess.TimeoutExpired:
                return f"it did not answer within {_TIMEOUT:g} s"
        try:
            return decode(Inspection, done.stdout)
        except BadPacket:
            lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
            return lines[-1] if lines else f"exit status {done.returncode}"

    return inspect


def check(
    named: Path | None, environ: Mapping[str, str], home: Path, inspect: Inspect
) -> list[Finding]:
    """Check everything about Hermes that the server depends on."""
    try:
        hermes = locate(named, environ)
    except Problem as absent:
        return [_problem("hermes", absent)]
    inspection = inspect(hermes.python)
    if isinstance(inspection, str):
        return [
            problem(
                "hermes",
                f"{hermes.python} cannot be asked about Hermes: {inspection}.",
                f"It was found by {hermes.how}.",
                "Name the Python that Hermes is installed in with --hermes-python.",
            )
        ]
    return [
        *_judge_release(hermes, inspection),
        *_judge_config(home, inspection.config),
        *_judge_provider(inspection.provider),
    ]


def _judge_release(hermes: Hermes, inspection: Inspection) -> Iterator[Finding]:
    if inspection.problem is not None:
        yield _problem("hermes", inspection.problem)
    if (found := inspection.hermes) is None:
        return
    where = f"{hermes.python} ({hermes.how}, Python {found.python})"
    yield ok("hermes", f"Hermes {found.version} at {where}: {found.describe()}")
    if found.changed:
        yield warning(
            "hermes",
            f"Hooks of this Hermes have changed: {', '.join(found.changed)}.",
            "The server does not call them.",
            "Look for a newer hermes-twisted.",
        )


def _judge_config(home: Path, bad: Problem | None) -> Iterator[Finding]:
    config = home / "config.yaml"
    if bad is not None:
        yield _problem("config", bad)
    elif config.exists():
        yield ok("config", f"{config} is valid")
    else:
        yield warning(
            "config",
            f"There is no {config}.",
            "Hermes takes its defaults; perhaps this is not the Hermes home that you mean.",
            "Run hermes setup as the user that the server runs as, or name Hermes' home with "
            "--hermes-home.",
        )


def _judge_provider(configured: bool | None) -> Iterator[Finding]:
    if configured:
        yield ok("provider", "a model provider is configured")
    elif configured is False:
        yield problem(
            "provider",
            "No model provider is configured.",
            "Terminals would attach, and every prompt would fail.",
            "Run hermes setup (or hermes model) as the user that the server runs as.",
        )


def _problem(check: str, bad: Problem) -> Finding:
    return problem(check, bad.what, "No terminal can be served like this.", bad.advice)
