"""The decisions on a request: pure functions of its head, the configuration and the counters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from .handshake import Head, check_handshake, presented
from .keys import Key, Keyring
from .refusals import (
    FULL,
    HOST_REFUSED,
    KEY_MISSING,
    KEY_WRONG,
    ORIGIN_REFUSED,
    SOURCE_FULL,
    Refusal,
    too_many_failures,
)

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_HOST: Final = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
#: Headers of a request that a proxy has passed on. That it comes from this machine then says
#: nothing about the client.
_PASSED_ON: Final = (
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)


@dataclass(frozen=True)
class Admitted:
    """The decision to let a client in with this key."""

    key: Key


@dataclass(frozen=True)
class HostRule:
    """The `Host` headers that name this server: the defence against DNS rebinding.

    On loopback these are the loopback names with one of *ports* or none (any port if *ports* is
    empty), and *names* with any port, for a tunnel's end has a port of its own. Elsewhere, with
    *any_host*, every well-formed header is accepted.
    """

    any_host: bool = False
    names: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    def allows(self, host: bytes | None) -> bool:
        """Return whether the header names this server. The whole value has to match."""
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
    """Configuration of the admission decision."""

    keyring: Keyring
    hosts: HostRule = field(default_factory=HostRule)
    origins: frozenset[bytes] = frozenset()
    """Values of `Origin` that are allowed: web pages that may attach."""
    links: int = 1024
    """The most links at once."""
    links_of_source: int = 512
    """The most links at once from one source."""


@dataclass(frozen=True)
class SourceCounters:
    """The counters that the admission decision uses, most of them of one source."""

    blocked_for: float = 0.0
    """Seconds for which further wrong keys of this source are answered with 429; 0 if none."""
    links: int = 0
    """Open links of all sources."""
    links_of_source: int = 0
    """Open links of this source."""


def admit(
    head: Head, rules: AdmissionRules, counters: SourceCounters = SourceCounters()
) -> Admitted | Refusal:
    """Decide on a handshake for `PATH`. Nobody is admitted without a valid key.

    A valid key is admitted while there is room, however many wrong keys came from its source: on
    loopback all clients, and all web pages, share one source.
    """
    problem = check_handshake(head) or _check_reach(head, rules)
    if problem is not None:
        return problem
    secret = presented(head)
    if isinstance(secret, Refusal):
        return secret
    key = rules.keyring.find(secret)
    if key is None:
        return _wrong_key(counters.blocked_for)
    if counters.links >= rules.links:
        return FULL
    return SOURCE_FULL if counters.links_of_source >= rules.links_of_source else Admitted(key)


def may_read(
    head: Head, rules: AdmissionRules, *, local: bool, blocked_for: float = 0.0
) -> Refusal | None:
    """Decide on a request for the metrics page: None if it may have the page.

    *local* requests, from this machine, need no key. A key that is shown has to be valid, also
    locally. *blocked_for* is that of `SourceCounters`.
    """
    key = presented(head)
    if key is KEY_MISSING:
        return _check_keyless(head, rules, local)
    if isinstance(key, Refusal):
        return key
    problem = _check_reach(head, rules)
    if problem is not None:
        return problem
    return _wrong_key(blocked_for) if rules.keyring.find(key) is None else None


def _check_keyless(head: Head, rules: AdmissionRules, local: bool) -> Refusal | None:
    # HTTP/1.0 may be a proxy's that adds no header, as nginx does by default.
    if not local or head.version != b"HTTP/1.1" or any(name in head.headers for name in _PASSED_ON):
        return KEY_MISSING
    # Only with a name of this machine, wherever else it listens, and without any origin: a web
    # page whose own name resolves to this address cannot choose the Host header.
    strict = replace(rules, hosts=replace(rules.hosts, any_host=False), origins=frozenset())
    return _check_reach(head, strict)


def _check_reach(head: Head, rules: AdmissionRules) -> Refusal | None:
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    if b"origin" in head.headers and head.one(b"origin") not in rules.origins:
        return ORIGIN_REFUSED
    return None


def _wrong_key(blocked_for: float) -> Refusal:
    return too_many_failures(blocked_for) if blocked_for else KEY_WRONG
