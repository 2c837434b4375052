"""Run a blocking call off the event loop, in a daemon thread of its own.

The reactor's thread pool will not do: its threads are not daemons, and one that waits for a
busy Hermes would keep the process, or the gateway around the server, from exiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.python.failure import Failure

T = TypeVar("T")


def in_thread(reactor: IReactorFromThreads, call: Callable[[], T], name: str) -> Deferred[T]:
    """Run *call* in a new daemon thread; fires on the loop with what it returns or raises."""
    result: Deferred[T] = Deferred()

    def run() -> None:
        try:
            value = call()
        except BaseException:
            reactor.callFromThread(result.errback, Failure())
        else:
            reactor.callFromThread(result.callback, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return result
