"""Admission, with what it has to remember: who failed, and who is in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .core.admission import (
    FULL,
    KEY_WRONG,
    SOURCE_FULL,
    Admitted,
    Head,
    Refused,
    Rules,
    Standing,
    admit,
)
from .core.reading import may_read
from .core.sources import Failures, Tenants
from .limits import Limits
from .meter import Meter

SERVER_STOPS: Final = Refused(
    503, "stopping", "This server is stopping.", "Try again in a moment.", (("Retry-After", "5"),)
)


class Gate:
    """Decides on handshakes while it is open. *now* is a monotonic clock."""

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        meter: Meter,
        *,
        readers_need_key: bool = False,
    ) -> None:
        self._readers_need_key = readers_need_key
        self._rules: Rules | None = None
        self._failures = Failures(
            now,
            count=limits.failures,
            period=limits.failure_period,
            sources=limits.failure_sources,
        )
        self._links = 0
        self._tenants = Tenants()
        self._meter = meter

    def open(self, rules: Rules) -> None:
        """From now on *rules* decide."""
        self._rules = rules

    def close(self) -> None:
        """Nobody is let in any more."""
        self._rules = None

    def decide(self, head: Head, source: str) -> Admitted | Refused:
        """Whether the client at *source* may attach, and with which key."""
        rules = self._rules
        decision = SERVER_STOPS if rules is None else self._decide(rules, head, source)
        outcome = decision.code if isinstance(decision, Refused) else "admitted"
        self._meter.count("admission", outcome)
        return decision

    def may_read(self, head: Head, source: str, local: bool) -> Refused | None:
        """Whether the client at *source* is kept from the metrics; None if not. See `reading`."""
        rules = self._rules
        if rules is None:
            refused: Refused | None = SERVER_STOPS
        else:
            blocked = self._failures.blocked_for(source)
            refused = may_read(
                head, rules, local=local and not self._readers_need_key, blocked_for=blocked
            )
        if refused is KEY_WRONG:
            self._failures.note(source)
        self._meter.count("scrape", "served" if refused is None else refused.code)
        return refused

    def _decide(self, rules: Rules, head: Head, source: str) -> Admitted | Refused:
        standing = Standing(
            self._failures.blocked_for(source), self._links, self._tenants.of(source)
        )
        decision = admit(head, rules, standing)
        if decision is KEY_WRONG:
            self._failures.note(source)
        elif decision is FULL:
            self._meter.count("limit", "connections")
        elif decision is SOURCE_FULL:
            self._meter.count("limit", "connections_of_source")
        elif standing.blocked_for and isinstance(decision, Refused) and decision.status == 429:
            self._meter.count("limit", "failures")
        return decision

    def entered(self, source: str) -> None:
        """An admitted client has its link."""
        self._links += 1
        self._tenants.enter(source)

    def left(self, source: str) -> None:
        """Its link has ended."""
        self._links -= 1
        self._tenants.leave(source)
