"""The open WebSockets: pinged, and let go when nothing has come for too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..limits import Limits
from ..meter import Meter
from .link import AttachProtocol

#: A round of pings is spread over so many moments: thousands at once would keep everybody
#: else waiting for as long as they take.
PARTS: Final = 50


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
        self._parts: list[dict[AttachProtocol, None]] = [{} for _ in range(PARTS)]
        self._part_of: dict[AttachProtocol, int] = {}
        self._next = 0
        self._suspects: set[AttachProtocol] = set()
        self._looks = LoopingCall.withCount(self._look)
        self._looks.clock = clock

    def start(self) -> None:
        """Begin to ping."""
        self._looks.start(self._limits.ping_interval / PARTS, now=False)

    def stop(self) -> None:
        """Ping no more."""
        if self._looks.running:
            self._looks.stop()

    def add(self, link: AttachProtocol) -> None:
        """One more, whose first ping is due after a whole round."""
        part = self._part_of[link] = self._next - 1
        self._parts[part][link] = None

    def remove(self, link: AttachProtocol) -> None:
        """It has ended."""
        part = self._part_of.pop(link, None)
        if part is not None:
            del self._parts[part][link]
        self._suspects.discard(link)

    def abort(self) -> None:
        """Drop them all."""
        for link in list(self._part_of):
            link.abort()

    def _look(self, due: int) -> None:
        """Ping the next part, or several after a stall; none of them twice."""
        for _ in range(min(due, PARTS)):
            if self._next == 0:
                self._each_round()
            self._look_at(self._parts[self._next])
            self._next = (self._next + 1) % PARTS

    def _look_at(self, links: dict[AttachProtocol, None]) -> None:
        """Ping these; a client silent for too long is looked at once more, then dropped.

        Once more, because after a stall of this process the timer runs before the
        sockets have been read: what looks like silence may lie in their buffers.
        """
        limit = self._clock.seconds() - self._limits.dead_after
        for link in list(links):
            suspected = link in self._suspects
            self._suspects.discard(link)
            if link.last_heard > limit or link.unheard:
                # What a client says while we do not listen is not its silence.
                link.ping()
            elif suspected:
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
