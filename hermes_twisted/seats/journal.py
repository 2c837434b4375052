"""Words the events of the audit log: who was admitted, refused, attached and gone."""

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

#: A field's value; fields that are None are left out.
Value = str | int | float | bool | None

#: Refusals for one reason that are recorded in a minute; further ones are counted.
REFUSALS: Final = 10
PERIOD: Final = 60.0


class Audit(Protocol):
    """Keeps the audit log. Called on the loop only; never raises. No field holds a secret."""

    def record(self, event: str, **fields: Value) -> None:
        """Record that *event* has just happened."""

    def close(self) -> None:
        """Close the log: the service has stopped."""


class NullAudit:
    """Records nothing."""

    def record(self, event: str, **fields: Value) -> None:
        """Ignore the event."""

    def close(self) -> None:
        """Do nothing."""


class Journal(SeatObserver):
    """Turns what happens into audit events. *now* returns seconds, by a clock that never jumps.

    At most `REFUSALS` refusals are recorded in `PERIOD` seconds for each reason, and further
    ones are counted: for each reason, so that a scanner's noise does not hide a wrong key.
    """

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now
        self._quotas: dict[str, Quota] = {}
        self._opened: dict[int, float] = {}
        self._stopped = False

    def started(self, **fields: Value) -> None:
        """Record that the server listens."""
        self._stopped = False
        self._audit.record("server-started", **fields)

    def stopped(self, **fields: Value) -> None:
        """Record the stop, and close the log: nothing is recorded after it."""
        self.settle()
        self._stopped = True
        self._audit.record("server-stopped", **fields)
        self._audit.close()

    def admitted(self, admitted: Admitted, peer: str) -> None:
        """Record that a client at *peer* showed a valid key."""
        self._audit.record("admitted", peer=peer, **_key_fields(admitted.key))

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        """Record that a client's socket is open."""
        self._opened[seat.number] = self._now()
        self._audit.record(
            "opened", seat=seat.number, peer=attachment.peer, **_key_fields(seat.key)
        )

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        """Record that a client's socket has ended, by whom, and what went through it."""
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
        """Record a refusal of a client at *peer*; *held*: it is in the waiting room."""
        if self._stopped:
            return
        reason = refused.code
        # Reasons are constants of ours: there are few.
        quota = self._quotas.setdefault(reason, Quota(REFUSALS, PERIOD, self._now))
        if quota.spend():
            self._settle(reason, quota)
            self._audit.record(
                "refused", reason=reason, status=refused.status, peer=peer, held=held
            )

    def settle(self) -> None:
        """Record the numbers of refusals that were only counted since the last call."""
        for reason, quota in self._quotas.items():
            self._settle(reason, quota)

    def _settle(self, reason: str, quota: Quota) -> None:
        if missed := quota.take_missed():
            self._audit.record("more-refused", reason=reason, count=missed)


def _key_fields(key: Key) -> dict[str, Value]:
    """Return what may be logged of a key: its name, its scope, and its id if it has one."""
    identity = key.id or None
    return {"key": key.name, "key_id": identity, "scope": key.scope.value}
