"""Makes the outbox and the settlements of a seat, within an operator's limits."""

from __future__ import annotations

from collections.abc import Callable

from ..limits import Limits
from ..shared.backlog import Backlog
from ..shared.outbox import Outbox
from ..shared.settlements import LOT_BYTES, LOT_COUNT, Settlements


def make_outbox(
    limits: Limits,
    wake: Callable[[], None],
    *,
    explain: Callable[[], bytes] | None = None,
    total: Backlog | None = None,
    answered: Callable[[int, bytes], None] | None = None,
) -> Outbox:
    """Return an outbox with the soft and hard limit of *limits*. Arguments as `Outbox` has them."""
    return Outbox(
        wake,
        soft=limits.max_queued_soft,
        hard=limits.max_queued_hard,
        explain=explain,
        total=total,
        answered=answered,
    )


def make_settlements(limits: Limits, wake: Callable[[], None]) -> Settlements:
    """Return settlements whose lots are small against the request window."""
    return Settlements(wake, count=lot_count(limits), size=lot_bytes(limits))


def lot_count(limits: Limits) -> int:
    """Return how many settled requests make a lot: an eighth of the request window at most."""
    return max(1, min(LOT_COUNT, limits.max_waiting_requests // 8))


def lot_bytes(limits: Limits) -> int:
    """Return how many bytes of them make a lot: an eighth of the request window at most."""
    return max(1, min(LOT_BYTES, limits.max_waiting_bytes // 8))
