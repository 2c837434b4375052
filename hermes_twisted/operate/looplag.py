"""Event loop lag: how late a timer that should fire every second does fire."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ..meter import Meter

#: Seconds between two measurements.
INTERVAL: Final = 1.0


class LoopLag:
    """Measures the lag every `INTERVAL` seconds."""

    def __init__(self, clock: IReactorTime, meter: Meter) -> None:
        self.last = 0.0
        """The latest lag, in seconds."""
        self._clock = clock
        self._meter = meter
        self._due = 0.0
        self._timer: IDelayedCall | None = None

    def start(self) -> None:
        """Begin to measure."""
        self._due = self._clock.seconds() + INTERVAL
        self._timer = self._clock.callLater(INTERVAL, self._measure)

    def stop(self) -> None:
        """Stop measuring."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _measure(self) -> None:
        self.last = max(0.0, self._clock.seconds() - self._due)
        self._meter.observe("loop_lag", self.last)
        # Counted from now, not from when it was due: a stall makes one late call, not many.
        self.start()
