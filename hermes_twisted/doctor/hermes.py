"""Hermes on this machine: its interpreter, its release, its configuration, a provider."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, Final

from ..backends.locate import Hermes, locate, worker_environment
from ..shared.problem import Problem
from ..shared.schema import found_in_words
from .findings import Finding, ok, problem, warning

_TIMEOUT: Final = 60.0

#: Asks an interpreter what it has of Hermes: the object, or why there is none.
Inspect = Callable[[Path], dict[str, Any] | str]


def inspector(environ: Mapping[str, str], home: Path) -> Inspect:
    """Asks in a process of its own, with the environment that the worker would get."""
    environment = worker_environment(environ, home)

    def inspect(python: Path) -> dict[str, Any] | str:
        with resources.as_file(resources.files("hermes_twisted.hermes")) as folder:
            try:
                done = subprocess.run(  # noqa: S603  (what the server itself would run)
                    [str(python), "-P", str(folder / "inspect_main.py")],
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=_TIMEOUT,
                    env=environment,
                    check=False,
                )
            except OSError as error:
                return f"it cannot be run: {error.strerror}"
            except subprocess.TimeoutExpired:
                return f"it did not answer within {_TIMEOUT:g} s"
        try:
            found = json.loads(done.stdout)
        except ValueError:
            last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
            return last[0]
        return found if isinstance(found, dict) else "it answered nonsense"

    return inspect


def check(
    named: Path | None, environ: Mapping[str, str], home: Path, inspect: Inspect
) -> list[Finding]:
    """Everything about Hermes that the server depends on."""
    try:
        hermes = locate(named, environ)
    except Problem as bad:
        return [_problem("hermes", [bad.what, bad.advice])]
    found = inspect(hermes.python)
    if isinstance(found, str):
        return [
            problem(
                "hermes",
                f"{hermes.python} cannot be asked about Hermes: {found}.",
                f"It was found by {hermes.how}.",
                "Name the Python that Hermes is installed in with --hermes-python.",
            )
        ]
    return _judge(hermes, home, found)


def _judge(hermes: Hermes, home: Path, found: dict[str, Any]) -> list[Finding]:
    findings = []
    if found["problem"]:
        findings.append(_problem("hermes", found["problem"]))
    else:
        facts = found["hermes"]
        where = f"{hermes.python} ({hermes.how}, Python {facts['python']})"
        findings.append(
            ok(
                "hermes",
                f"Hermes {facts['version']} at {where}: {facts['methods']} methods"
                f"{found_in_words(facts)}",
            )
        )
        if facts.get("changed"):
            findings.append(
                warning(
                    "hermes",
                    f"Hooks of this Hermes are not as they were: {', '.join(facts['changed'])}.",
                    "The server does without them.",
                    "Look for a newer hermes-twisted.",
                )
            )
    config = home / "config.yaml"
    if found["config"]:
        findings.append(_problem("config", found["config"]))
    elif config.exists():
        findings.append(ok("config", f"{config} is valid"))
    else:
        findings.append(
            warning(
                "config",
                f"There is no {config}.",
                "Hermes takes its defaults; perhaps this is not the home that you mean.",
                "Run hermes setup as the user that the server runs as, or name Hermes' home with "
                "--hermes-home.",
            )
        )
    if found["provider"]:
        findings.append(ok("provider", "a model provider is configured"))
    elif found["provider"] is False:
        findings.append(
            problem(
                "provider",
                "No model provider is configured.",
                "Terminals would attach, and every prompt would fail.",
                "Run hermes setup (or hermes model) as the user that the server runs as.",
            )
        )
    return findings


def _problem(check: str, told: list[str]) -> Finding:
    what, advice = told
    return problem(check, what, "No terminal can be served like this.", advice)
