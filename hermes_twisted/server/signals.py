"""Signals, where the process is ours: under twistd, twist and our own command.

SIGHUP means reload. A second SIGTERM or SIGINT means now: the first one lets what runs
finish, which may take as long as `--drain`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFromThreads


class ReloadOnHangup(Service):
    """While it runs, SIGHUP calls *reload* in the reactor's turn; else it would end the process."""

    def __init__(self, reactor: IReactorFromThreads, reload: Callable[[], None]) -> None:
        self._reactor = reactor
        self._reload = reload
        self._before: Any = None
        self._installed = False

    def startService(self) -> None:
        """Python hands signals to the main thread only; elsewhere they are not ours to take."""
        super().startService()  # type: ignore[no-untyped-call]
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGHUP, self._received)
            self._installed = True

    def stopService(self) -> None:
        """Give the signal back."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._installed:
            self._installed = False
            # None: it was set by something else than Python, which cannot be restored.
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._before is None else self._before)

    def _received(self, number: int, frame: object) -> None:
        # Between two bytecodes of anything: the reactor's turn is the place to act in.
        self._reactor.callFromThread(self._reload)


class EndAtOnce(Service):
    """While a stop is under way, SIGTERM and SIGINT end the process by their default.

    Even if the loop hangs. The worker sees the end of its socket, and ends itself.
    """

    def stopService(self) -> None:
        """The stop begins."""
        super().stopService()  # type: ignore[no-untyped-call]
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
