"""`hermes-attach serve`: the server in the foreground."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import click

from ..server import settings
from ..server.reactor import ensure_asyncio
from .commands import WORDS, Command, server_option


class ServerCommand(Command):
    """A command that takes every option of the server."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options, as they are now: a backend may have been registered."""
        return [*map(server_option, settings.options()), *super().get_params(ctx)]


@click.command("serve", cls=ServerCommand)
@click.pass_context
def serve(ctx: click.Context, /, **given: Any) -> None:
    """Serve Hermes Agent's terminal UI over a WebSocket at /api/ws, in the foreground.

    Every option can also be set in the environment, as HERMES_ATTACH_ and its name in capitals,
    or in a TOML file named with --config. A key is never an option: `hermes-attach key` makes
    and ends keys, and so does the first start in a terminal; --key-file and HERMES_ATTACH_KEY
    give one more.
    """
    start(ctx.meta[WORDS])


def start(options: Sequence[str]) -> None:
    """Run `twistd --nodaemon hermes-attach`, with the reactor installed before any plugin is read.

    So it works, too, where another plugin would install another reactor first. Does not return.
    """
    from twisted.scripts import twistd

    ensure_asyncio()
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach", *options]
    twistd.run()
