"""Admission, with what it has to remember: who failed, and who is in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ..limits import Limits
from ..meter import Meter
from .handshake import Head, presented
from .refusals import (
    FULL,
    HOST_REFUSED,
    KEY_MISSING,
    KEY_WRONG,
    ORIGIN_REFUSED,
    SERVER_STOPS,
    SOURCE_FULL,
    Refusal,
    too_many_failures,
)
from .rules import AdmissionRules, Admitted, SourceCounters, admit
from .sources import Failures, SourceCounts

#: What tells that a request was passed on by a proxy: then "from this machine" says nothing.
_PASSED_ON: Final = (
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)


def may_read(
    head: Head, rules: AdmissionRules, *, local: bool, blocked_for: float = 0.0
) -> Refusal | None:
    """None if the request may have the page. *local*: it comes from this machine.

    *blocked_for*: as `SourceCounters` has it. A key that is shown has to be right, even locally.
    """
    key = presented(head)
    if key is KEY_MISSING:
        return _without_key(head, rules, local)
    if isinstance(key, Refusal):
        return key
    problem = _reach(head, rules)
    if problem is not None:
        return problem
    if rules.keyring.find(key) is None:
        return too_many_failures(blocked_for) if blocked_for else KEY_WRONG
    return None


def _without_key(head: Head, rules: AdmissionRules, local: bool) -> Refusal | None:
    # Whoever speaks 1.0 here may be a proxy that adds no header, as nginx is by itself.
    if not local or head.version != b"HTTP/1.1" or any(name in head.headers for name in _PASSED_ON):
        return KEY_MISSING
    # By a name of this machine, wherever else it listens: a web page that lets its own name
    # point here cannot choose the Host header. And none names an origin here.
    strict = replace(rules, hosts=replace(rules.hosts, any_host=False), origins=frozenset())
    return _reach(head, strict)


def _reach(head: Head, rules: AdmissionRules) -> Refusal | None:
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    if b"origin" in head.headers and head.one(b"origin") not in rules.origins:
        return ORIGIN_REFUSED
    return None


class Admission:
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
        """From now on *rules* decide."""
        self._rules = rules

    def close(self) -> None:
        """Nobody is let in any more."""
        self._rules = None

    def decide(self, head: Head, source: str) -> Admitted | Refusal:
        """Whether the client at *source* may attach, and with which key."""
        rules = self._rules
        decision = SERVER_STOPS if rules is None else self._decide(rules, head, source)
        outcome = decision.code if isinstance(decision, Refusal) else "admitted"
        self._meter.count("admission", outcome)
        return decision

    def may_read(self, head: Head, source: str, local: bool) -> Refusal | None:
        """Whether the client at *source* is kept from the metrics; None if not. See `reading`."""
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
        """An admitted client has its link."""
        self._links += 1
        self._counts.enter(source)

    def left(self, source: str) -> None:
        """Its link has ended."""
        self._links -= 1
        self._counts.leave(source)
