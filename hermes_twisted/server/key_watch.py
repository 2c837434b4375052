"""Disconnects the clients of a key that has ended, if it was made with `--disconnect`."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..access.keys import Keyring
from ..seats.directory import Directory
from ..seats.seat import CLOSE_POLICY

#: Seconds between two checks of the keys.
INTERVAL: Final = 1.0


class KeyWatch:
    """Reads a keyring again every `INTERVAL` seconds. Admission reads it for itself."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, directory: Directory) -> None:
        self._directory = directory
        self._keyring: Keyring | None = None
        self._timer = LoopingCall(self.check)
        self._timer.clock = clock

    def start(self, keyring: Keyring) -> None:
        """Begin to watch *keyring*."""
        self._keyring = keyring
        self._timer.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Stop watching."""
        if self._timer.running:
            self._timer.stop()

    def check(self, *, anew: bool = False) -> None:
        """Read the keys and end what has to end. If *anew*, read files that seem unchanged, too."""
        if self._keyring is None:
            return
        try:
            self._keyring.refresh(anew=anew)
            self._end(self._keyring)
        except Exception:
            # A bug of ours must not end the timer.
            self._log.failure("checking the keys failed")

    def _end(self, keyring: Keyring) -> None:
        ended = keyring.ended()
        for seat in self._directory if ended else ():
            reason = ended.get(seat.key.id)
            if reason is not None and not seat.ending:
                self._log.info("seat {seat} is closed: {reason}", seat=seat.number, reason=reason)
                seat.notify(f"This terminal is being disconnected: {reason}.")
                seat.end(reason, CLOSE_POLICY)
