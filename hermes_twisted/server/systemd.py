"""systemd's notification protocol: sd_notify(3), as of systemd 252.

Reports ready, stopping and reloading, and sends watchdog messages from the event loop: if the loop
hangs, there are none, and systemd restarts the service.
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

#: Seconds beyond a stop's limit for which systemd is asked to wait before it kills the service.
EXTENSION: Final = 15.0


class Manager:
    """The service manager that started this process."""

    _log = Logger()

    def __init__(self, address: str, watchdog: float | None = None) -> None:
        """*watchdog*: the longest time between two watchdog messages, in seconds; None for none."""
        self.watchdog = watchdog
        # A leading @ stands for the NUL of the abstract namespace (unix(7)).
        self._address = "\0" + address[1:] if address.startswith("@") else address

    @classmethod
    def take(cls, environ: MutableMapping[str, str], pid: int) -> Manager | None:
        """Return the manager that *environ* names, None if there is none.

        Its variables are removed, so that no child sends notifications for us.
        """
        address = environ.pop("NOTIFY_SOCKET", None)
        interval = environ.pop("WATCHDOG_USEC", "")
        meant = environ.pop("WATCHDOG_PID", None)
        if not address:
            return None
        # In a container the watchdog may be meant for another process.
        for_us = interval.isdecimal() and int(interval) > 0 and meant in (None, str(pid))
        return cls(address, int(interval) / 1e6 if for_us else None)

    def say(self, *assignments: str) -> None:
        """Send one message. Never blocks; an error is logged, and not raised."""
        message = "\n".join(assignments).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as speaker:
                speaker.setblocking(False)
                speaker.sendto(message, self._address)
        except OSError as error:
            self._log.warn("systemd cannot be notified: {error}", error=error.strerror)


class Reporter(Service):
    """Reports the service's state to systemd. Has to be started last and stopped first.

    *limit*: how long a stop may take, in seconds.
    """

    def __init__(self, reactor: IReactorTime, manager: Manager, limit: float) -> None:
        self._reactor = reactor
        self._manager = manager
        self._limit = limit
        self._watchdog = LoopingCall(manager.say, "WATCHDOG=1")
        self._watchdog.clock = reactor

    def startService(self) -> None:
        """Report ready, in the first turn of the loop."""
        super().startService()  # type: ignore[no-untyped-call]
        self._reactor.callLater(0, self._started)

    def stopService(self) -> None:
        """Report the stop. Watchdog messages go on until the reactor has stopped."""
        super().stopService()  # type: ignore[no-untyped-call]
        microseconds = round((self._limit + EXTENSION) * 1e6)
        self._manager.say("STOPPING=1", f"EXTEND_TIMEOUT_USEC={microseconds}")

    def reloading(self, reload: Callable[[], None]) -> None:
        """Call *reload*, and report its beginning and end."""
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
            self._watchdog.start(self._manager.watchdog / 2)
            core = cast("IReactorCore", self._reactor)
            core.addSystemEventTrigger("after", "shutdown", self._stop_watchdog)

    def _stop_watchdog(self) -> None:
        if self._watchdog.running:
            self._watchdog.stop()
