"""Pings links, so that proxies and routers keep them open, and drops silent clients."""

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

#: A round of pings is spread over this many parts: thousands of pings at once would delay
#: everything else on the loop.
PARTS: Final = 50


class Keepalive(SeatObserver):
    """Pings every attached link once in `Limits.ping_interval` seconds.

    A link without a byte from the client, not even a pong, for `Limits.dead_after` seconds is
    dropped.
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
        self._timer = LoopingCall.withCount(self._check_parts)
        self._timer.clock = clock

    def start(self) -> None:
        """Start the pings."""
        self._timer.start(self._limits.ping_interval / PARTS, now=False)

    def stop(self) -> None:
        """Stop the pings."""
        if self._timer.running:
            self._timer.stop()

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Include a link; its first ping is due after a whole round."""
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

    def _check_parts(self, due: int) -> None:
        """Check the next *due* parts, more than one after a stall, but none of them twice."""
        for _ in range(min(due, PARTS)):
            self._check_part(self._parts[self._next])
            self._next = (self._next + 1) % PARTS

    def _check_part(self, part: dict[Attachment, Seat]) -> None:
        """Ping the links of *part*; drop those that are silent for too long in two rounds.

        One round is not enough: after a stall of this process the timer runs before the sockets
        are read, and bytes of the client may still be in their buffers.
        """
        limit = self._clock.seconds() - self._limits.dead_after
        for attachment, seat in list(part.items()):
            suspected = attachment in self._suspects
            self._suspects.discard(attachment)
            if attachment.last_heard > limit or attachment.may_have_unread:
                # Not silent, or paused by us and possibly not silent.
                attachment.ping()
            elif suspected:
                self._log.info(
                    "seat {seat} is dropped: nothing received for {seconds:g} s",
                    seat=seat.number,
                    seconds=self._limits.dead_after,
                )
                self._meter.count("limit", "dead_after")
                attachment.abort("silence")
            else:
                self._suspects.add(attachment)
                attachment.ping()
