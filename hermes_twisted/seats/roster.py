"""Who is attached, and what has gone through: asked by metrics and `hermes-attach status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Final, Protocol

from .seat import Seat

#: Rates are those of the last one to two of these, in seconds.
RATE_PERIOD: Final = 5.0


@dataclass(frozen=True)
class Traffic:
    """What has gone through a link, or through all."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    events: int = 0
    """Frames for the client that answer no request."""
    shed: int = 0
    """Pieces of live text that were left out for a slow client."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(a + b for a, b in zip(_counts(self), _counts(other), strict=True)))


def _counts(traffic: Traffic) -> list[int]:
    return [getattr(traffic, field.name) for field in fields(Traffic)]


class RoundTrips(Protocol):
    """The pings of a link."""

    last: float | None
    """Seconds."""


class Link(Protocol):
    """What is counted and known of an open WebSocket."""

    frames_in: int
    bytes_in: int
    frames_out: int
    bytes_out: int
    last_heard: float

    @property
    def round_trips(self) -> RoundTrips:
        """Its pings."""

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""


class Entry:
    """One link with its seat."""

    def __init__(self, link: Link, seat: Seat, now: float, since: float) -> None:
        self.link = link
        self.seat = seat
        self.since = since
        """When it was attached, in seconds since 1970."""
        self.opened = now
        self._samples = [(now, Traffic())]

    @property
    def traffic(self) -> Traffic:
        """So far."""
        link, seat = self.link, self.seat
        return Traffic(
            link.frames_in,
            link.bytes_in,
            link.frames_out,
            link.bytes_out,
            seat.events,
            seat.shed,
        )

    def sample(self, now: float) -> None:
        """Remember how far it is, for the rates."""
        self._samples = [*self._samples[-1:], (now, self.traffic)]

    def rates(self, now: float) -> dict[str, float]:
        """Of the last few seconds, each per second."""
        then, before = self._samples[0]
        period = max(now - then, 1.0)
        counts = zip(fields(Traffic), _counts(self.traffic), _counts(before), strict=True)
        return {field.name: round((a - b) / period, 1) for field, a, b in counts}


class Roster:
    """The links that are open, in the order in which they came. *now* never jumps."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._now = now
        self._wall = wall
        self._entries: dict[int, Entry] = {}
        self._past = Traffic()
        self._sampled = now()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(list(self._entries.values()))

    def find(self, number: int) -> Entry | None:
        """The entry of the seat *number*."""
        return self._entries.get(number)

    def enter(self, link: Link, seat: Seat) -> None:
        """A link has its seat."""
        self._entries[seat.number] = Entry(link, seat, self._now(), self._wall())

    def leave(self, seat: Seat) -> None:
        """It has ended; what it has counted stays in the sums."""
        entry = self._entries.pop(seat.number, None)
        if entry is not None:
            self._past += entry.traffic

    def traffic(self) -> Traffic:
        """All that has gone through, over links that have ended, too."""
        return sum((entry.traffic for entry in self), start=self._past)

    def sample(self) -> None:
        """To be called every second or so."""
        now = self._now()
        if now - self._sampled >= RATE_PERIOD:
            self._sampled = now
            for entry in self:
                entry.sample(now)

    def rows(self) -> list[dict[str, Any]]:
        """Each link, for a table or JSON: times in seconds, sizes in bytes, no secret."""
        return [self._row(entry) for entry in self]

    def _row(self, entry: Entry) -> dict[str, Any]:
        now, link, seat = self._now(), entry.link, entry.seat
        return {
            "seat": seat.number,
            "key": seat.key.name,
            "scope": seat.key.scope.value,
            "peer": seat.peer,
            "since": round(entry.since, 3),
            "attached_for": round(now - entry.opened, 1),
            "silent_for": round(now - link.last_heard, 1),
            "round_trip": link.round_trips.last,
            "queued_bytes": seat.unsent,
            "waiting_requests": seat.waiting,
            "reading": seat.reading,
            "writable": link.writable,
            "total": asdict(entry.traffic),
            "per_second": entry.rates(now),
        }
