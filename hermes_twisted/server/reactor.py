"""The one place where a reactor is installed or adopted."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any, cast

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


def adopt_running_loop() -> AsyncioSelectorReactor:
    """The reactor on the event loop that runs already: somebody else's, a gateway's.

    No signal handler is touched, and whoever calls `stop` or `crash` from now on does
    not stop that loop. Raises `WrongReactor`: a process has one reactor, for good.
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
    """A stop would end the event loop, and with it everything else that runs there."""
    from twisted.logger import Logger

    log = Logger(namespace="hermes_twisted.server.reactor")

    def refuse() -> None:
        log.warn("the reactor was told to stop: refused, for its event loop is not ours")

    for name in ("stop", "crash"):
        cast("object", reactor).__setattr__(name, refuse)


def use_monotonic_time(reactor: AsyncioSelectorReactor) -> None:
    """Make the reactor's timers immune to steps of the wall clock.

    Twisted's reactors count by `time.time`: a clock set back by an hour would freeze
    every timer that is pending for an hour. Before anything is scheduled, please.
    """
    cast("object", reactor).__setattr__("seconds", time.monotonic)
