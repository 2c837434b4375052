"""Check one server, for `hermes-attach doctor`, and return the report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..access import plaintext
from ..config.gathering import convert
from ..server.settings import Settings, options
from . import client, hermes, server, service
from .findings import Report, warning
from .network import RealNetwork
from .node import node_runner
from .target import CHECK, parse

VARIABLE: Final = "HERMES_TUI_GATEWAY_URL"


@dataclass(frozen=True)
class Request:
    """The server to check, and the options of the command."""

    url: str | None
    """The server's address on the command line; None for the one in the environment."""
    given: Mapping[str, Any]
    """Options of the server on the command line, as `Settings.gather` takes them."""
    timeout: float = 15.0
    """Seconds for each step."""
    seconds: float = 4.0
    """Seconds for which round trips are measured."""
    pid_file: Path = Path("twistd.pid")
    local: bool = False
    """Whether to check this machine's server even if the environment names another."""


def examine(request: Request, environ: Mapping[str, str]) -> Report:
    """Return the report. Raises `Problem` for settings and keys that cannot be used."""
    url = request.url or (None if request.local else environ.get(VARIABLE))
    return _at_server(request, environ) if url is None else _at(url, request, environ)


def _at(url: str, request: Request, environ: Mapping[str, str]) -> Report:
    target, findings = parse(url, _key(request, environ))
    if target is None:
        report = Report("The address cannot be used.")
        report.add(*findings)
        return report
    report = Report(f"{target.address}, as the terminal UI sees it", target.secrets)
    if request.url is not None and parse(request.url)[0] == target and target.secrets:
        report.add(
            warning(
                CHECK,
                "The key was on the command line.",
                "Every user of this machine can read it there, and shells keep it.",
                f"Leave it to {VARIABLE}, or give the address without it and a --key-file.",
            )
        )
    report.add(*findings)
    tools = client.ClientTools(RealNetwork(), node_runner(environ), environ)
    client.Examination(
        target, tools, report, timeout=request.timeout, seconds=request.seconds
    ).run()
    return report


def _key(request: Request, environ: Mapping[str, str]) -> str | None:
    """Return the key for an address without one: of a file that was named, or the environment.

    None if there is neither; keys of this machine's server do not count.
    """
    named = request.given.get("key-file")
    if not named and plaintext.VARIABLE not in environ:
        return None
    path = convert(options()["key-file"], named, "--key-file") if named else None
    secret = plaintext.find(path, environ)
    return None if secret is None else secret.text


def _at_server(request: Request, environ: Mapping[str, str]) -> Report:
    settings = Settings.gather(request.given, environ)
    report = Report("This machine's server")
    tools = server.ServerTools(
        RealNetwork(),
        node_runner(environ),
        hermes.inspector(environ, settings.home),
        service.runner(environ),
        environ,
    )
    server.examine(settings, request.pid_file, tools, report)
    return report
