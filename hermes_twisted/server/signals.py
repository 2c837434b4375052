"""Signals, in processes of our own: under twistd, twist and `hermes-attach serve`.

SIGHUP reloads. The first SIGTERM or SIGINT lets running requests finish, which may take as long as
`--drain`; the second one ends the process at once.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorFromThreads


class ReloadOnHangup(Service):
    """Calls *reload* in a turn of the reactor on SIGHUP, whose default would end the process."""

    def __init__(self, reactor: IReactorFromThreads, reload: Callable[[], None]) -> None:
        self._reactor = reactor
        self._reload = reload
        self._before: Any = None
        self._installed = False

    def startService(self) -> None:
        """Take the signal. Does nothing outside the main thread, where Python has no signals."""
        super().startService()  # type: ignore[no-untyped-call]
        if threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGHUP, self._received)
            self._installed = True

    def stopService(self) -> None:
        """Give the signal back."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._installed:
            self._installed = False
            # None: the handler was not set by Python, and cannot be restored.
            signal.signal(signal.SIGHUP, signal.SIG_DFL if self._before is None else self._before)

    def _received(self, number: int, frame: object) -> None:
        # This runs between two bytecodes of any code, so the work is left to the reactor.
        self._reactor.callFromThread(self._reload)


class EndAtOnce(Service):
    """Restores the default of SIGTERM and SIGINT when the stop begins, so that the next one kills.

    It does so even if the loop hangs. The worker notices the end of its socket, and ends itself.
    """

    def stopService(self) -> None:
        """Restore the defaults."""
        super().stopService()  # type: ignore[no-untyped-call]
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
