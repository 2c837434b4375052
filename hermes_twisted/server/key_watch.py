"""Ends the links of keys that were to end with them: revoked, rotated or expired."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..access.keys import Keyring
from ..seats.directory import Directory
from ..seats.seat import CLOSE_POLICY

#: How often the keys are looked at, in seconds.
INTERVAL: Final = 1.0


class KeyWatch:
    """Looks at a keyring from time to time. Admission looks for itself."""

    _log = Logger()

    def __init__(self, clock: IReactorTime, directory: Directory) -> None:
        self._directory = directory
        self._keyring: Keyring | None = None
        self._looks = LoopingCall(self.look)
        self._looks.clock = clock

    def start(self, keyring: Keyring) -> None:
        """Watch *keyring*."""
        self._keyring = keyring
        self._looks.start(INTERVAL, now=False)

    def stop(self) -> None:
        """Watch no more."""
        if self._looks.running:
            self._looks.stop()

    def look(self, *, anew: bool = False) -> None:
        """Look now; *anew*, whether or not the files seem to have changed."""
        if self._keyring is None:
            return
        try:
            self._keyring.refresh(anew=anew)
            self._end(self._keyring)
        except Exception:
            # A bug of ours; the next look must come all the same.
            self._log.failure("the keys could not be looked at")

    def _end(self, keyring: Keyring) -> None:
        ended = keyring.ended()
        for seat in self._directory if ended else ():
            reason = ended.get(seat.key.id)
            if reason is not None and not seat.ending:
                self._log.info("seat {seat} is closed: {reason}", seat=seat.number, reason=reason)
                seat.tell(f"This terminal is being disconnected: {reason}.")
                seat.end(reason, CLOSE_POLICY)
