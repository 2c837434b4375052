"""`hermes-attach status`: the state of a running server, and who is attached."""

from __future__ import annotations

import json

import click

from ..operate import status_text, tables
from .commands import Command
from .control_client import Connection, control_options, control_path


@click.command("status", cls=Command)
@control_options
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def status(control: str | None, hermes_home: str | None, as_json: bool) -> None:
    """Show the state of the running server, and who is attached."""
    with Connection(control_path(control, hermes_home)) as server:
        found = server.ask("status")["status"]
    if as_json:
        click.echo(json.dumps(found, indent=1))
    else:
        tables.show(*status_text.page(found))
