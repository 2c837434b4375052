"""The decision on a handshake: a pure function of the request's head."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from .handshake import Head, check_handshake, presented
from .keys import Key, Keyring
from .refusals import (
    FULL,
    HOST_REFUSED,
    KEY_WRONG,
    ORIGIN_REFUSED,
    SOURCE_FULL,
    Refusal,
    too_many_failures,
)

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_HOST: Final = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")


@dataclass(frozen=True)
class Admitted:
    """Let in, with this key."""

    key: Key


@dataclass(frozen=True)
class HostRule:
    """Which `Host` headers are ours: the defence against DNS rebinding.

    On loopback these are the loopback names, with one of *ports* or none (no port is
    checked when *ports* is empty), and *names*, with any port: a tunnel's end has one of
    its own. Elsewhere, *any_host*: the name is not ours to know.
    """

    any_host: bool = False
    names: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    def allows(self, host: bytes | None) -> bool:
        """Whether the header, matched whole, names this server."""
        match = _HOST.fullmatch(host or b"")
        if match is None:
            return False
        if self.any_host:
            return True
        name = match[1].decode().lower()
        if name in self.names:
            return True
        if name not in _LOOPBACK_NAMES:
            return False
        return not (match[2] and self.ports) or int(match[2]) in self.ports


@dataclass(frozen=True)
class AdmissionRules:
    """What admission goes by."""

    keyring: Keyring
    hosts: HostRule = field(default_factory=HostRule)
    origins: frozenset[bytes] = frozenset()
    links: int = 1024
    """Links that may be open at once."""
    links_of_source: int = 512
    """The same, from one source."""


@dataclass(frozen=True)
class SourceCounters:
    """How things stand when a handshake comes, as far as it bears on the decision."""

    blocked_for: float = 0.0
    """Seconds for which wrong keys of this source are not looked at any more."""
    links: int = 0
    """Links that are open."""
    links_of_source: int = 0
    """Those of them from this source."""


def admit(
    head: Head, rules: AdmissionRules, counters: SourceCounters = SourceCounters()
) -> Admitted | Refusal:
    """Decide on a handshake for `PATH`. Without a valid key nothing gets in.

    And with one everything does, whatever others did from the same address, while
    there is room: on loopback all clients, and all web pages, share one.
    """
    problem = check_handshake(head) or _check_reach(head, rules)
    if problem is not None:
        return problem
    secret = presented(head)
    if isinstance(secret, Refusal):
        return secret
    key = rules.keyring.find(secret)
    if key is None:
        return too_many_failures(counters.blocked_for) if counters.blocked_for else KEY_WRONG
    if counters.links >= rules.links:
        return FULL
    return SOURCE_FULL if counters.links_of_source >= rules.links_of_source else Admitted(key)


def _check_reach(head: Head, rules: AdmissionRules) -> Refusal | None:
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    origin = head.one(b"origin")
    if origin is not None and origin not in rules.origins:
        return ORIGIN_REFUSED
    return None
