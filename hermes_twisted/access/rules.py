"""Decides on a request: pure functions of its head, the configuration and the counters."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Final

from .handshake import Head, check_handshake, presented_key
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
#: Headers that proxies add. With one of them, a request may come from a client elsewhere, even if
#: the connection comes from this machine.
_PROXY_HEADERS: Final = (
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)


@dataclass(frozen=True)
class Admitted:
    """The decision to admit a client, and the key that admitted it."""

    key: Key


@dataclass(frozen=True)
class HostRule:
    """The `Host` headers that name this server: the defence against DNS rebinding.

    Accepted are the loopback names with one of *ports* or none (any port if *ports* is empty), and
    *names* with any port, because a tunnel may use another port. With *any_host*, for servers that
    do not listen on loopback only, every well-formed header is accepted.
    """

    any_host: bool = False
    names: frozenset[str] = frozenset()
    ports: frozenset[int] = frozenset()

    def allows(self, host: bytes | None) -> bool:
        """Return whether the whole value of a `Host` header names this server."""
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
    """Values of `Origin` that are allowed: the web pages that may attach."""
    links: int = 1024
    """The most links at once."""
    links_of_source: int = 512
    """The most links at once from one source."""


@dataclass(frozen=True)
class SourceCounters:
    """The counters that the admission decision uses."""

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

    Wrong keys never block a valid key from the same source: on loopback all clients, and all web
    pages, share one source.
    """
    problem = check_handshake(head) or _check_host_and_origin(head, rules)
    if problem is not None:
        return problem
    secret = presented_key(head)
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
    """Return why a request for the metrics page is refused, None if it is allowed.

    *local* requests, from this machine, need no key; but if they have one, it must be valid.
    *blocked_for* is that of `SourceCounters`.
    """
    key = presented_key(head)
    if key is KEY_MISSING:
        return _check_keyless(head, rules, local)
    if isinstance(key, Refusal):
        return key
    problem = _check_host_and_origin(head, rules)
    if problem is not None:
        return problem
    return _wrong_key(blocked_for) if rules.keyring.find(key) is None else None


def _check_keyless(head: Head, rules: AdmissionRules, local: bool) -> Refusal | None:
    """Refuse a request without a key, unless it certainly comes from this machine."""
    # HTTP/1.0 may come from a proxy that adds no header: nginx's default.
    if (
        not local
        or head.version != b"HTTP/1.1"
        or any(name in head.headers for name in _PROXY_HEADERS)
    ):
        return KEY_MISSING
    # Only with a loopback name and without an origin, whatever addresses the server listens on: a
    # web page whose name resolves to this address (DNS rebinding) cannot choose the Host header.
    strict = replace(rules, hosts=replace(rules.hosts, any_host=False), origins=frozenset())
    return _check_host_and_origin(head, strict)


def _check_host_and_origin(head: Head, rules: AdmissionRules) -> Refusal | None:
    """Refuse a request by its `Host` or `Origin` header."""
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    if b"origin" in head.headers and head.one(b"origin") not in rules.origins:
        return ORIGIN_REFUSED
    return None


def _wrong_key(blocked_for: float) -> Refusal:
    return too_many_failures(blocked_for) if blocked_for else KEY_WRONG
