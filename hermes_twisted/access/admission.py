"""The admission of a running server: applies `rules`, and keeps the counters that they use."""

from __future__ import annotations

from collections.abc import Callable

from ..limits import Limits
from ..meter import Meter
from .handshake import Head
from .refusals import FULL, KEY_WRONG, SERVER_STOPS, SOURCE_FULL, Refusal
from .rules import AdmissionRules, Admitted, SourceCounters, admit, may_read
from .sources import Failures, SourceCounts


class Admission:
    """Decides on handshakes, and counts wrong keys and links by source.

    Everything is refused before `open` and after `close`. *now* is a monotonic clock, in seconds.
    With *readers_need_key* the metrics page requires a key even from this machine.
    """

    def __init__(
        self,
        limits: Limits,
        now: Callable[[], float],
        meter: Meter,
        *,
        readers_need_key: bool = False,
    ) -> None:
        self._readers_need_key = readers_need_key
        self._rules: AdmissionRules | None = None
        self._failures = Failures(
            now,
            count=limits.max_failures,
            period=limits.failure_period,
            sources=limits.max_failure_sources,
        )
        self._links = 0
        self._counts = SourceCounts()
        self._meter = meter

    def open(self, rules: AdmissionRules) -> None:
        """Decide by *rules* from now on."""
        self._rules = rules

    def close(self) -> None:
        """Refuse everything from now on."""
        self._rules = None

    def decide(self, head: Head, source: str) -> Admitted | Refusal:
        """Decide on a handshake from *source*, and count a wrong key."""
        rules = self._rules
        decision = SERVER_STOPS if rules is None else self._decide(rules, head, source)
        outcome = decision.code if isinstance(decision, Refusal) else "admitted"
        self._meter.count("admission", outcome)
        return decision

    def may_read(self, head: Head, source: str, local: bool) -> Refusal | None:
        """Return why a request for the metrics page is refused, None if it is allowed.

        *local* says whether it comes from this machine.
        """
        rules = self._rules
        if rules is None:
            refused: Refusal | None = SERVER_STOPS
        else:
            blocked = self._failures.blocked_for(source)
            refused = may_read(
                head, rules, local=local and not self._readers_need_key, blocked_for=blocked
            )
        if refused is KEY_WRONG:
            self._failures.note(source)
        self._meter.count("scrape", "served" if refused is None else refused.code)
        return refused

    def _decide(self, rules: AdmissionRules, head: Head, source: str) -> Admitted | Refusal:
        counters = SourceCounters(
            self._failures.blocked_for(source), self._links, self._counts.of(source)
        )
        decision = admit(head, rules, counters)
        if decision is KEY_WRONG:
            self._failures.note(source)
        elif decision is FULL:
            self._meter.count("limit", "connections")
        elif decision is SOURCE_FULL:
            self._meter.count("limit", "connections_of_source")
        elif counters.blocked_for and isinstance(decision, Refusal) and decision.status == 429:
            self._meter.count("limit", "failures")
        return decision

    def entered(self, source: str) -> None:
        """Count one more link of *source*."""
        self._links += 1
        self._counts.enter(source)

    def left(self, source: str) -> None:
        """Count one link less of *source*."""
        self._links -= 1
        self._counts.leave(source)
