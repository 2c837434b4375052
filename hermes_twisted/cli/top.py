"""`hermes-attach top`: the status of a running server, refreshed every second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from typing import Any, Final

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..operate import status_text
from .commands import Command
from .control_client import Connection, control_options, control_path

#: Seconds between two pictures.
INTERVAL: Final = 1.0
_QUIT: Final = frozenset(b"qQ\x03\x1b")


@click.command("top", cls=Command)
@control_options
def top(control: str | None, hermes_home: str | None) -> None:
    """Show the status of a running server, refreshed every second, until q or Ctrl-C."""
    path = control_path(control, hermes_home)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError(
            "This needs a terminal; `hermes-attach status` does not.", click.get_current_context()
        )
    with (
        contextlib.suppress(KeyboardInterrupt),
        Connection(path) as server,
        _keys() as quits,
    ):
        watch(lambda: server.ask("status")["status"], quits, Console())


def watch(
    ask: Callable[[], dict[str, Any]], quits: Callable[[float], bool], console: Console
) -> None:
    """Draw what *ask* returns, again and again.

    *quits* waits for so many seconds, and returns whether to end.
    """
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(ask()), refresh=True)
            if quits(INTERVAL):
                return


def picture(status: dict[str, Any]) -> Group:
    """Return one screenful."""
    return Group(*status_text.page(status), Text(), Text("q quits", style="dim"))


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Read keys as they are typed, without an echo; the terminal is as before afterwards."""
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    tty.setcbreak(descriptor)

    def quits(seconds: float) -> bool:
        ready, _, _ = select.select([descriptor], [], [], seconds)
        if not ready:
            return False
        typed = os.read(descriptor, 64)
        return not typed or not _QUIT.isdisjoint(typed)

    try:
        yield quits
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
