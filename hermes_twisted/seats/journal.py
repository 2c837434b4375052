"""What is written down of who came, who was kept out and who went: never what was said."""

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

#: A field's value; what has none is left out.
Value = str | int | float | bool | None

#: Refusals for one reason that are written down in a minute; more are counted.
REFUSALS: Final = 10
PERIOD: Final = 60.0


class Audit(Protocol):
    """Keeps the record. On the loop only; it never raises, and holds no secret."""

    def record(self, event: str, **fields: Value) -> None:
        """*event* has just happened."""

    def close(self) -> None:
        """The service has stopped."""


class NullAudit:
    """Keeps nothing."""

    def record(self, event: str, **fields: Value) -> None:
        """See `Audit`."""

    def close(self) -> None:
        """See `Audit`."""


class Journal(SeatObserver):
    """Words the events. *now* is in seconds, by a clock that never jumps.

    Refusals are written down so many a minute for each reason, the others counted. For
    each, so that a scanner's noise does not hide a wrong key.
    """

    def __init__(self, audit: Audit, now: Callable[[], float]) -> None:
        self._audit = audit
        self._now = now
        self._quotas: dict[str, Quota] = {}
        self._opened: dict[int, float] = {}
        self._stopped = False

    def started(self, **fields: Value) -> None:
        """The server listens."""
        self._stopped = False
        self._audit.record("server-started", **fields)

    def stopped(self, **fields: Value) -> None:
        """It has ended its last link; the last event, although connections may linger."""
        self.settle()
        self._stopped = True
        self._audit.record("server-stopped", **fields)
        self._audit.close()

    def admitted(self, admitted: Admitted, peer: str) -> None:
        """Someone at the address *peer* showed a valid key."""
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
        """Someone at the address *peer* was kept out; *held*, perhaps, in the waiting room."""
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
        """Write down how many were only counted since this was last asked."""
        for reason, quota in self._quotas.items():
            self._settle(reason, quota)

    def _settle(self, reason: str, quota: Quota) -> None:
        if missed := quota.take_missed():
            self._audit.record("more-refused", reason=reason, count=missed)


def _key_fields(key: Key) -> dict[str, Value]:
    """What may be known of a key: its name, its scope, and its id if it has one."""
    identity = key.id or None
    return {"key": key.name, "key_id": identity, "scope": key.scope.value}
