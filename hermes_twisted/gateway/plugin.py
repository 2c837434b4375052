"""The plugin of Hermes: the attach server inside `hermes gateway run`.

Every `hermes` command imports this module, so it imports nothing but what Python has
loaded anyway; the server itself is loaded when a gateway connects the platform.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace


#: The platform in `config.yaml`, and the command.
NAME: Final = "attach"
LABEL: Final = "Terminal attach"
HELP: Final = "Attach terminal UIs over the network: forwards to hermes-attach"
DESCRIPTION: Final = (
    "The commands of hermes-attach: serve, key, url and others.\n"
    "`hermes attach help` lists them, `hermes attach COMMAND --help` a command's options."
)
#: Run in place of this process; its own folder is no place to import from (-P).
_COMMAND: Final = "from hermes_twisted.cli.main import main; main()"


def register(ctx: Any) -> None:
    """Register the platform and the command. Called by Hermes if the plugin is enabled."""
    ctx.register_platform(
        name=NAME,
        label=LABEL,
        adapter_factory=make_adapter,
        check_fn=is_available,
        allow_update_command=False,
    )
    add_command = getattr(ctx, "register_cli_command", None)
    if add_command is not None:
        add_command(
            name=NAME,
            help=HELP,
            setup_fn=add_arguments,
            handler_fn=run_command,
            description=DESCRIPTION,
        )


def is_available() -> bool:
    """Return whether a gateway may connect the platform: always.

    `AttachAdapter.connect` says what is missing, where there is room for words.
    """
    return True


def make_adapter(config: Any) -> Any:
    """Return the platform's adapter, for a gateway that is about to connect it."""
    from .adapter import AttachAdapter

    return AttachAdapter(config, NAME)


def add_arguments(parser: ArgumentParser) -> None:
    """Take everything after `hermes attach`: it is for hermes-attach."""
    parser.add_argument("arguments", nargs="...", metavar="COMMAND [options]")


def run_command(arguments: Namespace) -> None:
    """Replace this process by hermes-attach, which has no use for Hermes' threads and settings."""
    sys.stdout.flush()
    sys.stderr.flush()
    given = list(arguments.arguments)
    os.execv(sys.executable, [sys.executable, "-P", "-c", _COMMAND, *given])  # noqa: S606
