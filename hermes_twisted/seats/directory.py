"""The registry of all seats, and the interface of its observers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ..access.keys import Key
from ..limits import Limits
from ..meter import Meter
from .attachment import Attachment
from .ports import Channel
from .seat import Seat

#: Opens a channel for a seat, by its number and a `wake` callback, like `ports.Backend.open`.
OpenChannel = Callable[[int, Callable[[], None]], Channel]


class SeatObserver:
    """Base class of the directory's observers. Methods are called on the loop and do nothing."""

    def seat_opened(self, seat: Seat) -> None:
        """Called when a seat was opened, before its link is attached."""

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Called when a link was attached to its seat."""

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Called when a link has ended, before its seat is closed."""

    def seat_closed(self, seat: Seat) -> None:
        """Called when a seat was closed: its client has disconnected for good."""


class Directory:
    """Opens, attaches and closes seats, and notifies the observers in the order of registration.

    A seat is closed when its link ends: its client cannot resume.
    """

    _log = Logger()

    def __init__(
        self,
        limits: Limits,
        open_channel: OpenChannel,
        meter: Meter,
        make_seat: Callable[..., Seat] = Seat,
    ) -> None:
        """*make_seat* replaces the class `Seat`, and gets its arguments."""
        self._limits = limits
        self._open_channel = open_channel
        self._meter = meter
        self._make_seat = make_seat
        self._numbers = itertools.count(1)
        self._seats: dict[int, Seat] = {}
        self._observers: list[SeatObserver] = []
        self._empty_waiters: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        """Iterate over a copy of the seats, oldest first, so that they may be closed meanwhile."""
        return iter(list(self._seats.values()))

    def find(self, number: int) -> Seat | None:
        """Return the open seat with this number, None if there is none."""
        return self._seats.get(number)

    def observe(self, *observers: SeatObserver) -> None:
        """Register *observers*, after the existing ones."""
        self._observers += observers

    def open(self, key: Key, attachment: Attachment) -> Seat:
        """Open and return a seat for a client that *key* admitted, and attach its link."""
        number = next(self._numbers)
        seat = self._make_seat(
            number,
            key,
            self._limits,
            lambda wake: self._open_channel(number, wake),
            meter=self._meter,
        )
        self._seats[number] = seat
        self._notify(lambda observer: observer.seat_opened(seat))
        self.attach(seat, attachment)
        return seat

    def attach(self, seat: Seat, attachment: Attachment) -> None:
        """Attach a link to *seat*. Raises `ValueError` if it has one, or is closed."""
        seat.attach(attachment)
        self._log.info(
            "seat {seat} attached from {peer} with key {key}",
            seat=seat.number,
            peer=attachment.peer,
            key=seat.key.name,
        )
        self._notify(lambda observer: observer.link_attached(seat, attachment))

    def detach(self, seat: Seat, attachment: Attachment) -> None:
        """Detach a link that has ended, and close its seat."""
        seat.detach(attachment)
        self._log.info("seat {seat} detached", seat=seat.number)
        self._notify(lambda observer: observer.link_detached(seat, attachment))
        self.close(seat)

    def close(self, seat: Seat) -> None:
        """Close a seat and remove it from the directory."""
        if self._seats.pop(seat.number, None) is None:
            return
        seat.close()
        self._notify(lambda observer: observer.seat_closed(seat))
        if not self._seats:
            waiters, self._empty_waiters = self._empty_waiters, []
            for deferred in waiters:
                deferred.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Return a Deferred that fires when no seat is open: at once, or after the last `close`."""
        if not self._seats:
            return succeed(None)
        empty: Deferred[None] = Deferred()
        self._empty_waiters.append(empty)
        return empty

    def _notify(self, call: Callable[[SeatObserver], None]) -> None:
        """Apply *call* to each observer, and log what it raises."""
        for observer in self._observers:
            try:
                call(observer)
            except Exception:
                # A bug in one observer must not affect the others.
                self._log.failure("a seat observer failed")
