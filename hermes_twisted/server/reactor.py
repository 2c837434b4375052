"""Installs or adopts the reactor. Nothing else in the package does."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor


class WrongReactor(Exception):
    """Another reactor than asyncio's is installed already. `found` is its name."""

    def __init__(self, found: str) -> None:
        super().__init__(f"the reactor in this process is {found}, not asyncio's")
        self.found = found


def ensure_asyncio() -> AsyncioSelectorReactor:
    """Install the asyncio reactor, unless it is installed already, and return it.

    Raises `WrongReactor` if another one is: a process cannot change its reactor.
    """
    from twisted.internet import asyncioreactor

    if "twisted.internet.reactor" not in sys.modules:
        asyncioreactor.install()
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise WrongReactor(type(reactor).__name__)
    use_monotonic_time(reactor)
    return reactor


def adopt_running_loop() -> AsyncioSelectorReactor:
    """Return a reactor on the event loop that is running, a gateway's.

    It sets no signal handlers, and its `stop` and `crash` do not stop the loop. Raises
    `WrongReactor` if another one is installed: a process cannot change its reactor.
    """
    from twisted.internet import asyncioreactor

    loop = asyncio.get_running_loop()
    installed = "twisted.internet.reactor" not in sys.modules
    if installed:
        asyncioreactor.install(loop)
    from twisted.internet import reactor

    if not isinstance(reactor, asyncioreactor.AsyncioSelectorReactor):
        raise WrongReactor(type(reactor).__name__)
    if cast("Any", reactor)._asyncioEventloop is not loop:
        raise WrongReactor(f"{type(reactor).__name__} on another event loop")
    if installed:
        use_monotonic_time(reactor)
    _forbid_stop(reactor)
    if not reactor.running:
        reactor.startRunning(installSignalHandlers=False)
    return reactor


def _forbid_stop(reactor: AsyncioSelectorReactor) -> None:
    """Disable `stop` and `crash`, which would end everything else on the event loop."""
    from twisted.logger import Logger

    log = Logger(namespace="hermes_twisted.server.reactor")

    def refuse() -> None:
        log.warn("a call to stop the reactor was refused: its event loop belongs to the gateway")

    for name in ("stop", "crash"):
        cast("object", reactor).__setattr__(name, refuse)


def use_monotonic_time(reactor: AsyncioSelectorReactor) -> None:
    """Make the reactor's timers independent of the wall clock.

    Twisted's reactors use `time.time`: a clock that is set back by an hour would delay every timer
    by an hour. Has to be called before anything is scheduled.
    """
    cast("object", reactor).__setattr__("seconds", time.monotonic)
