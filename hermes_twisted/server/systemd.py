"""systemd's notification protocol, as far as a service speaks it: sd_notify(3), systemd 252.

Ready, stopping, reloading, a status line, and a sign of life from the event loop: a
loop that hangs gives none, and systemd starts the service again.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, MutableMapping
from typing import Final, cast

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorCore, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

#: systemd kills a service that stops for longer than `TimeoutStopSec`, unless it asks for more.
EXTENSION: Final = 15.0


class Manager:
    """The service manager that started this process."""

    _log = Logger()

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        """*watchdog*: seconds within which it wants a sign of life, if it does."""
        self.watchdog = watchdog
        # A leading @ means a name in the abstract namespace.
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def take(cls, environ: MutableMapping[str, str], pid: int) -> Manager | None:
        """The one that *environ* names; its variables go, so that no child speaks for us."""
        address = environ.pop("NOTIFY_SOCKET", None)
        interval = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", None)
        if not address:
            return None
        # The watchdog may be another process's, as in a container with several.
        for_us = interval.isdecimal() and int(interval) > 0 and meant in (None, str(pid))
        return cls(address, int(interval) / 1e6 if for_us else None)

    def say(self, *assignments: str) -> None:
        """Send one message. Never blocks, and never fails: the service goes on without."""
        message = "\n".join(assignments).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.setblocking(False)
                speaker.sendto(message, self._address)
        except OSError as error:
            self._log.warn("systemd cannot be told: {error}", error=error.strerror)


class Reporter(Service):
    """Tells systemd how the service does. Started last, stopped first.

    *limit*: how long a stop may take, in seconds.
    """

    def __init__(self, reactor: IReactorTime, manager: Manager, limit: float) -> None:
        self._reactor = reactor
        self._manager = manager
        self._limit = limit
        self._life = LoopingCall(manager.say, "WATCHDOG=1")
        self._life.clock = reactor

    def startService(self) -> None:
        """Report, once the loop runs, that the service listens."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callLater(0, self._started)

    def stopService(self) -> None:
        """Report the stop. Signs of life go on: it may take as long as the running turns."""
        super().stopService()  # type: ignore[no-untyped-call]
        microseconds = round((self._limit + EXTENSION) * 1e6)
        self._manager.say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def reloading(self, reload: Callable[[], None]) -> None:
        """Reload, and report beginning and end."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._manager.say("RELOADING=1", f"MONOTONIC_USEC={now}")
        try:
            reload()
        finally:
            self._manager.say("READY=1")

    def _started(self) -> None:
        if not self.running:
            return
        self._manager.say("READY=1", f"MAINPID={os.getpid()}")
        if self._manager.watchdog is not None:
            self._life.start(self._manager.watchdog / 2)
            core = cast("IReactorCore", self._reactor)
            core.addSystemEventTrigger("after", "shutdown", self._end_of_life)

    def _end_of_life(self) -> None:
        if self._life.running:
            self._life.stop()
