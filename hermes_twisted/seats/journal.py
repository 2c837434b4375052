"""Writes events to the audit log: clients admitted, refused, attached and gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..access.keys import Key
from ..access.refusals import Refusal
from ..access.rules import Admitted
from ..quota import Quota
from .attachment import Attachment
from .directory import SeatObserver
from .seat import Seat

#: The value of an event's field; fields that are None are left out.
Value = str | int | float | bool | None

#: Refusals with one reason that are recorded in `PERIOD` seconds; further ones are only counted.
REFUSALS: Final = 10
PERIOD: Final = 60.0


class Audit(Protocol):
    """Writes the audit log. Called on the loop only; no method raises. No field has a secret."""

    def record(self, event: str, **fields: Value) -> None:
        """Record *event* with the current time."""

    def close(self) -> None:
        """Close the log; nothing is recorded afterwards."""


class NullAudit:
    """An audit log that records nothing."""

    def record(self, event: str, **fields: Value) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class Journal(SeatObserver):
    """Records admissions, refusals, links and the server's start and stop.

    At most `REFUSALS` refusals with one reason are recorded in `PERIOD` seconds; further ones are
    only counted. The limit is for each reason, so that a scanner's requests do not hide a wrong
    key. *now* is a monotonic clock, in seconds.
    """

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now
        self._quotas: dict[str, Quota] = {}
        self._opened: dict[int, float] = {}
        self._stopped = False

    def started(self, **fields: Value) -> None:
        """Record that the server has started to listen."""
        self._stopped = False
        self._audit.record("server-started", **fields)

    def stopped(self, **fields: Value) -> None:
        """Record the stop, and close the log."""
        self.settle()
        self._stopped = True
        self._audit.record("server-stopped", **fields)
        self._audit.close()

    def admitted(self, admitted: Admitted, peer: str) -> None:
        """Record that a client at *peer* showed a valid key."""
        self._audit.record("admitted", peer=peer, **_key_fields(admitted.key))

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Record that a client has attached."""
        self._opened[seat.number] = self._now()
        self._audit.record(
            "opened", seat=seat.number, peer=attachment.peer, **_key_fields(seat.key)
        )

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Record that a client's link has ended, why, and its counters."""
        self._audit.record(
            "closed",
            seat=seat.number,
            peer=attachment.peer,
            **_key_fields(seat.key),
            ended_by="slow-reader" if seat.overflowed else attachment.ended_by,
            code=attachment.close_code,
            seconds=round(self._now() - self._opened.pop(seat.number), 3),
            frames_in=attachment.frames_in,
            bytes_in=attachment.bytes_in,
            frames_out=attachment.frames_out,
            bytes_out=attachment.bytes_out,
            denied=seat.denied,
        )

    def refused(self, refused: Refusal, peer: str, *, held: bool | None = None) -> None:
        """Record the refusal of a client at *peer*; *held* means it is in the waiting room."""
        if self._stopped:
            return
        reason = refused.code
        # The reasons are constants, so there are few quotas.
        quota = self._quotas.setdefault(reason, Quota(REFUSALS, PERIOD, self._now))
        if quota.spend():
            self._settle(reason, quota)
            self._audit.record(
                "refused", reason=reason, status=refused.status, peer=peer, held=held
            )

    def settle(self) -> None:
        """Record how many refusals were only counted since the last call, for each reason."""
        for reason, quota in self._quotas.items():
            self._settle(reason, quota)

    def _settle(self, reason: str, quota: Quota) -> None:
        if missed := quota.take_missed():
            self._audit.record("more-refused", reason=reason, count=missed)


def _key_fields(key: Key) -> dict[str, Value]:
    """Return the fields of a key that may be logged: its name, its scope, and its id if any."""
    identity = key.id or None
    return {"key": key.name, "key_id": identity, "scope": key.scope.value}
