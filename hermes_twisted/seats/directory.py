"""The one registry of who is here."""

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

#: Opens a channel for the seat of a number; see `ports.Backend.open`.
OpenChannel = Callable[[int, Callable[[], None]], Channel]


class SeatObserver:
    """Told who comes and goes. Override what concerns you; called on the loop."""

    def seat_opened(self, seat: Seat) -> None:
        """A client has a seat; it has no attachment yet."""

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """A link is at its seat."""

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """A link has ended."""

    def seat_closed(self, seat: Seat) -> None:
        """A client has gone for good."""


class Directory:
    """Opens seats, attaches links to them, and forgets them; tells observers in their order.

    A seat ends with its link: its client cannot resume.
    """

    _log = Logger()

    def __init__(
        self,
        limits: Limits,
        open_channel: OpenChannel,
        meter: Meter,
        make_seat: Callable[..., Seat] = Seat,
    ) -> None:
        """*make_seat* makes another kind of seat, with the arguments of `Seat`."""
        self._limits = limits
        self._open_channel = open_channel
        self._meter = meter
        self._make_seat = make_seat
        self._numbers = itertools.count(1)
        self._seats: dict[int, Seat] = {}
        self._observers: list[SeatObserver] = []
        self._waiting: list[Deferred[None]] = []

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        """The seats, oldest first; each may be closed meanwhile."""
        return iter(list(self._seats.values()))

    def find(self, number: int) -> Seat | None:
        """The seat of this number; None if there is none, or no longer."""
        return self._seats.get(number)

    def observe(self, *observers: SeatObserver) -> None:
        """Tell *observers* from now on, after those that are there."""
        self._observers += observers

    def open(self, key: Key, attachment: Attachment) -> Seat:
        """A seat for a client that was admitted with *key*, with its link attached."""
        number = next(self._numbers)
        seat = self._make_seat(
            number,
            key,
            self._limits,
            lambda wake: self._open_channel(number, wake),
            meter=self._meter,
        )
        self._seats[number] = seat
        self._tell(lambda observer: observer.seat_opened(seat))
        self.attach(seat, attachment)
        return seat

    def attach(self, seat: Seat, attachment: Attachment) -> None:
        """Give *seat* a link, in the place of none."""
        seat.attach(attachment)
        self._log.info(
            "seat {seat} attached from {peer} with key {key}",
            seat=seat.number,
            peer=attachment.peer,
            key=seat.key.name,
        )
        self._tell(lambda observer: observer.link_attached(seat, attachment))

    def detach(self, seat: Seat, attachment: Attachment) -> None:
        """The link of *attachment* has ended, and with it the seat."""
        seat.detach(attachment)
        self._log.info("seat {seat} detached", seat=seat.number)
        self._tell(lambda observer: observer.link_detached(seat, attachment))
        self.close(seat)

    def close(self, seat: Seat) -> None:
        """Forget a seat whose client has gone for good."""
        if self._seats.pop(seat.number, None) is None:
            return
        seat.close()
        self._tell(lambda observer: observer.seat_closed(seat))
        if not self._seats:
            waiting, self._waiting = self._waiting, []
            for deferred in waiting:
                deferred.callback(None)

    def when_empty(self) -> Deferred[None]:
        """Fires when no seat is taken: at once, or when the last one is closed."""
        if not self._seats:
            return succeed(None)
        empty: Deferred[None] = Deferred()
        self._waiting.append(empty)
        return empty

    def _tell(self, call: Callable[[SeatObserver], None]) -> None:
        for observer in self._observers:
            try:
                call(observer)
            except Exception:
                # A bug of ours in one observer must not keep the others from the news.
                self._log.failure("an observer of the seats failed")
