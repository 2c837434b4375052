"""The one place where a reactor is installed or adopted."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor


class WrongReactor(Exception):
    """Another reactor than asyncio's is installed already; `found` is its name."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the reactor in this process is {found}, not asyncio's")
        self.found = found


def ensure_asyncio() -> AsyncioSelectorReactor:
    """Install the asyncio reactor, unless it is there, and return it.

    Raises `WrongReactor` if another one is installed: a process has one reactor,
    for good.
    """
    from twisted.internet import asyncioreactor

    if "twisted.internet.reactor" not in sys.modules:
        asyncioreactor.install()
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise WrongReactor(type(reactor).__name__)
    use_monotonic_time(reactor)
    return reactor


def use_monotonic_time(reactor: AsyncioSelectorReactor) -> None:
    """Make the reactor's timers immune to steps of the wall clock.

    Twisted's reactors count by `time.time`: a clock set back by an hour would freeze
    every timer that is pending for an hour. Before anything is scheduled, please.
    """
    cast("object", reactor).__setattr__("seconds", time.monotonic)
