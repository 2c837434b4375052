"""The open WebSockets: pinged, and let go when nothing has come for too long."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from .core.limits import Limits
from .core.meter import Meter
from .protocol import AttachProtocol


class Links:
    """Those that have a seat. *each_round* is called with every round of pings."""

    _log = Logger()

    def __init__(
        self, clock: IReactorTime, limits: Limits, meter: Meter, each_round: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._limits = limits
        self._meter = meter
        self._each_round = each_round
        self._links: dict[AttachProtocol, None] = {}
        self._suspects: set[AttachProtocol] = set()
        self._rounds = LoopingCall(self._look)
        self._rounds.clock = clock

    def start(self) -> None:
        """Begin to ping."""
        self._rounds.start(self._limits.ping_interval, now=False)

    def stop(self) -> None:
        """Ping no more."""
        if self._rounds.running:
            self._rounds.stop()

    def add(self, link: AttachProtocol) -> None:
        """One more."""
        self._links[link] = None

    def remove(self, link: AttachProtocol) -> None:
        """It has ended."""
        self._links.pop(link, None)
        self._suspects.discard(link)

    def abort(self) -> None:
        """Drop them all."""
        for link in list(self._links):
            link.abort()

    def _look(self) -> None:
        """Ping everyone; a client silent for too long is looked at once more, then dropped.

        Once more, because after a stall of this process the timer runs before the
        sockets have been read: what looks like silence may lie in their buffers.
        """
        self._each_round()
        limit = self._clock.seconds() - self._limits.dead_after
        suspects, self._suspects = self._suspects, set()
        for link in list(self._links):
            if link.last_heard > limit or link.unheard:
                # What a client says while we do not listen is not its silence.
                link.ping()
            elif link in suspects:
                self._log.info(
                    "seat {seat} has been silent for too long",
                    seat=link.seat.number if link.seat else 0,
                )
                link.ended_by = "silence"
                self._meter.count("limit", "dead_after")
                link.abort()
            else:
                self._suspects.add(link)
                link.ping()
