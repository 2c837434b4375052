"""Makes the outbox and the settlements of a seat, with the operator's limits."""

from __future__ import annotations

from collections.abc import Callable

from ..limits import Limits
from ..shared.backlog import Backlog
from ..shared.outbox import Outbox
from ..shared.settlements import BATCH_BYTES, BATCH_COUNT, Settlements


def make_outbox(
    limits: Limits,
    wake: Callable[[], None],
    *,
    explain: Callable[[], bytes] | None = None,
    total: Backlog | None = None,
    answered: Callable[[int, bytes], None] | None = None,
) -> Outbox:
    """Return an outbox with the soft and hard limit of *limits*, and `Outbox`'s other arguments."""
    return Outbox(
        wake,
        soft=limits.max_queued_soft,
        hard=limits.max_queued_hard,
        explain=explain,
        total=total,
        answered=answered,
    )


def make_settlements(limits: Limits, wake: Callable[[], None]) -> Settlements:
    """Return settlements with batches that are small compared to the request window."""
    return Settlements(wake, count=batch_count(limits), size=batch_bytes(limits))


def batch_count(limits: Limits) -> int:
    """Return the requests of a batch of settlements: at most 1/8 of the request window."""
    return max(1, min(BATCH_COUNT, limits.max_waiting_requests // 8))


def batch_bytes(limits: Limits) -> int:
    """Return the bytes of a batch of settlements: at most 1/8 of the request window."""
    return max(1, min(BATCH_BYTES, limits.max_waiting_bytes // 8))
