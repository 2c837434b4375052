"""Pings that keep connections known to proxies and routers, and the end of silent clients."""

from __future__ import annotations

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ..limits import Limits
from ..meter import Meter
from ..seats.attachment import Attachment
from ..seats.directory import SeatObserver
from ..seats.seat import Seat

#: A round of pings is spread over so many moments: thousands at once would keep everybody
#: else waiting for as long as they take.
PARTS: Final = 50


class Keepalive(SeatObserver):
    """Pings every attached link once in `Limits.ping_interval` seconds.

    A link that has been silent for `Limits.dead_after` seconds, not even a pong, is dropped.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter) -> None:
        self._clock = clock
        self._limits = limits
        self._meter = meter
        self._parts: list[dict[Attachment, Seat]] = [{} for _ in range(PARTS)]
        self._part_of: dict[Attachment, int] = {}
        self._next = 0
        self._suspects: set[Attachment] = set()
        self._looks = LoopingCall.withCount(self._look)
        self._looks.clock = clock

    def start(self) -> None:
        """Begin to ping."""
        self._looks.start(self._limits.ping_interval / PARTS, now=False)

    def stop(self) -> None:
        """Ping no more."""
        if self._looks.running:
            self._looks.stop()

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Ping this link, too; its first ping is due after a whole round."""
        part = self._part_of[attachment] = self._next - 1
        self._parts[part][attachment] = seat

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Forget a link that has ended."""
        part = self._part_of.pop(attachment, None)
        if part is not None:
            del self._parts[part][attachment]
        self._suspects.discard(attachment)

    def abort_all(self) -> None:
        """Drop every link."""
        for attachment in list(self._part_of):
            attachment.abort("server")

    def _look(self, due: int) -> None:
        """Ping the next part, or several after a stall; none of them twice."""
        for _ in range(min(due, PARTS)):
            self._look_at(self._parts[self._next])
            self._next = (self._next + 1) % PARTS

    def _look_at(self, part: dict[Attachment, Seat]) -> None:
        """Ping these; a client silent for too long is looked at once more, then dropped.

        Once more, because after a stall of this process the timer runs before the
        sockets have been read: what looks like silence may lie in their buffers.
        """
        limit = self._clock.seconds() - self._limits.dead_after
        for attachment, seat in list(part.items()):
            suspected = attachment in self._suspects
            self._suspects.discard(attachment)
            if attachment.last_heard > limit or attachment.unheard:
                # What a client says while we do not listen is not its silence.
                attachment.ping()
            elif suspected:
                self._log.info("seat {seat} has been silent for too long", seat=seat.number)
                self._meter.count("limit", "dead_after")
                attachment.abort("silence")
            else:
                self._suspects.add(attachment)
                attachment.ping()
