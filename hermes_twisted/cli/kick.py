"""`hermes-attach kick`: end the link of one seat."""

from __future__ import annotations

import click

from .commands import Command
from .control_client import Connection, control_options, control_path


@click.command("kick", cls=Command)
@click.argument("seats", nargs=-1, metavar="SEAT")
@click.option("--reason", metavar="TEXT", help="Text that its user is shown.")
@control_options
def kick(
    seats: tuple[str, ...], reason: str | None, control: str | None, hermes_home: str | None
) -> None:
    """End one terminal's connection. SEAT is its number, as `hermes-attach status` shows it."""
    if len(seats) != 1 or not seats[0].isdecimal():
        raise click.UsageError(
            "Name one seat by its number, as `hermes-attach status` shows it.",
            click.get_current_context(),
        )
    with Connection(control_path(control, hermes_home)) as server:
        done = server.ask("kick", seat=int(seats[0]), reason=reason)
    click.echo(
        f"Seat {done['seat']} (key {done['key']}, from {done['peer']}) is being disconnected. "
        "Its key still admits: `hermes-attach key` revokes it."
    )
