"""Who may read the metrics: whoever has a key, or is on this machine and no web page."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from .admission import (
    HOST_REFUSED,
    KEY_MISSING,
    KEY_WRONG,
    ORIGIN_REFUSED,
    Head,
    Refused,
    Rules,
    presented,
    too_many_failures,
)

#: What tells that a request was passed on by a proxy: then "from this machine" says nothing.
_PASSED_ON: Final = (
    b"forwarded",
    b"via",
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-real-ip",
)


def may_read(head: Head, rules: Rules, *, local: bool, blocked_for: float = 0.0) -> Refused | None:
    """None if the request may have the page. *local*: it comes from this machine.

    *blocked_for*: as `Standing` has it. A key that is shown has to be right, even locally.
    """
    key = presented(head)
    if key is KEY_MISSING:
        return _without_key(head, rules, local)
    if isinstance(key, Refused):
        return key
    problem = _reach(head, rules)
    if problem is not None:
        return problem
    if rules.keyring.find(key) is None:
        return too_many_failures(blocked_for) if blocked_for else KEY_WRONG
    return None


def _without_key(head: Head, rules: Rules, local: bool) -> Refused | None:
    # Whoever speaks 1.0 here may be a proxy that adds no header, as nginx is by itself.
    if not local or head.version != b"HTTP/1.1" or any(name in head.headers for name in _PASSED_ON):
        return KEY_MISSING
    # By a name of this machine, wherever else it listens: a web page that lets its own name
    # point here cannot choose the Host header. And none names an origin here.
    strict = replace(rules, hosts=replace(rules.hosts, any_host=False), origins=frozenset())
    return _reach(head, strict)


def _reach(head: Head, rules: Rules) -> Refused | None:
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    if b"origin" in head.headers and head.one(b"origin") not in rules.origins:
        return ORIGIN_REFUSED
    return None
