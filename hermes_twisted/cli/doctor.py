"""`hermes-attach doctor`: find what keeps a terminal UI from attaching."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from ..config.environment import read_environment
from ..config.kinds import PATH, SOME_TIME
from ..doctor import show
from ..doctor.command import VARIABLE, Request, examine
from ..server import settings
from .commands import Command, KindType, given_of, of_server, wrong_usage


@click.command("doctor", cls=Command)
@click.argument("url", required=False, metavar="[URL]")
@click.option(
    "--server",
    "local",
    is_flag=True,
    help=f"Check this machine's server, even if {VARIABLE} is set.",
)
@of_server(
    settings.options()["key-file"],
    help="File with the key of a URL without one, or the server's --key-file.",
)
@of_server(settings.options()["config"], help="The server's TOML file.")
@of_server(settings.options()["port"], help="The server's port.")
@of_server(
    settings.options()["listen"], help="Endpoint that the server listens on. May be repeated."
)
@of_server(settings.options()["hermes-home"])
@of_server(settings.options()["hermes-python"])
@click.option(
    "--pidfile",
    type=KindType(PATH),
    metavar="PATH",
    default="twistd.pid",
    help="The pid file of twistd (default: twistd.pid).",
)
@click.option(
    "--timeout",
    type=KindType(SOME_TIME),
    metavar="TIME",
    default=15.0,
    help="Time limit of each step; the UI waits as long for gateway.ready (default: 15s).",
)
@click.option(
    "--seconds",
    type=KindType(SOME_TIME),
    metavar="TIME",
    default=4.0,
    help="Time for which round trips are measured (default: 4s).",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def doctor(
    ctx: click.Context,
    /,
    url: str | None,
    local: bool,
    pidfile: Path,
    timeout: float,
    seconds: float,
    as_json: bool,
    **of_server: Any,
) -> int:
    """Find what keeps a terminal UI from attaching, and what to do about it.

    With a URL, or with HERMES_TUI_GATEWAY_URL set, look at that server as the UI would. Without,
    look at this machine's server. Exits with 0 if nothing is wrong, 1 if something is, 2 for
    wrong usage.
    """
    if url and local:
        raise click.UsageError("Give a URL, or --server, not both.", ctx)
    table = settings.options()
    given = {name: value for name, value in given_of(ctx).items() if name in table}
    request = Request(url, given, timeout=timeout, seconds=seconds, pid_file=pidfile, local=local)
    environ = read_environment()
    with wrong_usage():
        report = examine(request, environ)
    if as_json:
        click.echo(show.as_json(report))
    else:
        colours = show.uses_colours(sys.stdout, environ.get("NO_COLOR"))
        click.echo(show.as_text(report, colours=colours), color=True)
    return report.exit_status
