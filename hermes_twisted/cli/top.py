"""`hermes-attach top`: the status of a running server, refreshed every second."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..operate import status_text
from ..shared.problem import Problem
from .status import Connection, ControlOptions, fail, parse

#: Seconds between two looks.
INTERVAL: Final = 1.0
_QUIT: Final = frozenset(b"qQ\x03\x1b")


class _Top(ControlOptions):
    command = "top"


def top(arguments: Sequence[str]) -> None:
    """Show it until q or Ctrl-C. Exits with 1 if the server cannot be asked, or goes."""
    path = parse(_Top(), arguments)  # type: ignore[no-untyped-call]
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        fail("top", "needs a terminal; `hermes-attach status` does not.", 2)
    try:
        with Connection(path) as server, _keys() as quits:
            watch(lambda: server.ask("status")["status"], quits, Console())
    except Problem as problem:
        fail("top", str(problem), 1)
    except KeyboardInterrupt:
        return


def watch(
    ask: Callable[[], dict[str, Any]], quits: Callable[[float], bool], console: Console
) -> None:
    """Draw what *ask* returns until *quits*, which waits for so many seconds, says so."""
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while True:
            live.update(picture(ask()), refresh=True)
            if quits(INTERVAL):
                return


def picture(status: dict[str, Any]) -> Group:
    """One screenful."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in status_text.HEADINGS:
        table.add_column(name, justify="right" if name in status_text.NUMERIC else "left")
    for seat in status["seats"]:
        style = "" if seat["writable"] and seat["reading"] else "yellow"
        # As text: else what is in brackets, such as an IPv6 address, would be markup.
        table.add_row(*map(Text, status_text.row(seat)), style=style)
    first, *others = status_text.summary(status)
    ready = "green" if status["ready"] else "red"
    return Group(
        Text(first, style="bold"),
        *(Text(line, style=ready) for line in others),
        Text(),
        table if status["seats"] else Text(status_text.NOBODY),
        Text(),
        Text("q quits", style="dim"),
    )


@contextlib.contextmanager
def _keys() -> Iterator[Callable[[float], bool]]:
    """Keys as they are typed, without an echo; the terminal is as before afterwards."""
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
