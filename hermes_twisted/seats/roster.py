"""The attached links and their traffic counters, for metrics and `status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from .attachment import Attachment
from .directory import SeatObserver
from .seat import Seat

#: Seconds between two samples. Rates are averages over the last one to two periods.
RATE_PERIOD: Final = 5.0


@dataclass(frozen=True)
class Traffic:
    """Traffic counters of one link, or of all links together."""

    frames_in: int = 0
    bytes_in: int = 0
    frames_out: int = 0
    bytes_out: int = 0
    events: int = 0
    """Frames for the client that answer no request."""
    shed: int = 0
    """Deltas that were shed."""

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(*(a + b for a, b in zip(_counts(self), _counts(other), strict=True)))


def _counts(traffic: Traffic) -> list[int]:
    return [getattr(traffic, field.name) for field in fields(Traffic)]


class RosterEntry:
    """One attached link with its seat."""

    def __init__(self, attachment: Attachment, seat: Seat, now: float, since: float) -> None:
        self.attachment = attachment
        self.seat = seat
        self.since = since
        """When the link was attached, in seconds since 1970."""
        self.opened = now
        """The same, by the monotonic clock."""
        self._samples = [(now, Traffic())]

    @property
    def traffic(self) -> Traffic:
        """The counters so far."""
        attachment, seat = self.attachment, self.seat
        return Traffic(
            attachment.frames_in,
            attachment.bytes_in,
            attachment.frames_out,
            attachment.bytes_out,
            seat.events,
            seat.shed,
        )

    def sample(self, now: float) -> None:
        """Store the counters at the time *now*, for the rates."""
        self._samples = [*self._samples[-1:], (now, self.traffic)]

    def rates(self, now: float) -> dict[str, float]:
        """Return each counter's growth per second, since the sample before the last one."""
        then, before = self._samples[0]
        period = max(now - then, 1.0)
        counts = zip(fields(Traffic), _counts(self.traffic), _counts(before), strict=True)
        return {field.name: round((a - b) / period, 1) for field, a, b in counts}


class Roster(SeatObserver):
    """The attached links, oldest first. *now* is a monotonic clock, in seconds."""

    def __init__(self, now: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._now = now
        self._wall = wall
        self._entries: dict[int, RosterEntry] = {}
        self._past = Traffic()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[RosterEntry]:
        return iter(list(self._entries.values()))

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Add a link."""
        self._entries[seat.number] = RosterEntry(attachment, seat, self._now(), self._wall())

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Remove a link that has ended; its counters stay in the sums."""
        entry = self._entries.pop(seat.number, None)
        if entry is not None:
            self._past += entry.traffic

    def traffic(self) -> Traffic:
        """Return the sums over all links, including those that have ended."""
        return sum((entry.traffic for entry in self), start=self._past)

    def sample(self) -> None:
        """Store all counters, for the rates; to be called every `RATE_PERIOD` seconds."""
        now = self._now()
        for entry in self:
            entry.sample(now)

    def rows(self) -> list[dict[str, Any]]:
        """Return the links as JSON objects: times in seconds, sizes in bytes, no secrets."""
        return [self._row(entry) for entry in self]

    def _row(self, entry: RosterEntry) -> dict[str, Any]:
        """Return one link as a JSON object."""
        now, attachment, seat = self._now(), entry.attachment, entry.seat
        return {
            "seat": seat.number,
            "key": seat.key.name,
            "scope": seat.key.scope.value,
            "peer": attachment.peer,
            "since": round(entry.since, 3),
            "attached_for": round(now - entry.opened, 1),
            "silent_for": round(now - attachment.last_heard, 1),
            "round_trip": attachment.round_trip,
            "queued_bytes": seat.unsent,
            "waiting_requests": seat.waiting,
            "reading": not attachment.paused,
            "writable": attachment.writable,
            "total": asdict(entry.traffic),
            "per_second": entry.rates(now),
        }
