"""`hermes-attach completion`: completion of commands and options by the shell."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from .commands import Command

SHELLS: Final = ("bash", "zsh", "fish")
#: The variable in which the shell passes its request to click.
_VARIABLE: Final = "_HERMES_ATTACH_COMPLETE"


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), metavar="SHELL")
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script with which a shell completes the commands of hermes-attach and their options.

    SHELL is bash (4.4 or later), zsh or fish. To have it in every shell:

    \b
      bash:  echo 'eval "$(hermes-attach completion bash)"' >> ~/.bashrc
      zsh:   echo 'eval "$(hermes-attach completion zsh)"' >> ~/.zshrc
      fish:  hermes-attach completion fish > ~/.config/fish/completions/hermes-attach.fish
    """
    root = ctx.find_root()
    found = get_completion_class(shell)
    assert found is not None
    click.echo(found(root.command, {}, "hermes-attach", _VARIABLE).source())
