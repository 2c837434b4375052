"""Who may attach: the decision on a handshake, before there is a WebSocket.

A pure function from the request's head to `Admitted` or `Refused`. Everything is
compared on raw bytes: nothing is decoded, normalised or guessed, except the token,
which is percent-decoded once.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from .keys import Key, Keyring

PATH: Final = b"/api/ws"

_LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_HOST: Final = re.compile(rb"(\[[0-9a-fA-F:.]+\]|[0-9A-Za-z._-]+)(?::([0-9]{1,5}))?")
#: RFC 6455 §4.1: 16 bytes in base64.
_WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
#: Headers that mean one thing only when they come once.
_SINGLE: Final = (
    b"host",
    b"origin",
    b"upgrade",
    b"sec-websocket-key",
    b"sec-websocket-version",
    b"authorization",
)


@dataclass(frozen=True)
class Head:
    """A request's head. Header names are in lower case."""

    method: bytes
    target: bytes
    version: bytes
    headers: Mapping[bytes, list[bytes]]

    def one(self, name: bytes) -> bytes | None:
        """The value of a header that came once, else None."""
        values = self.headers.get(name, [])
        return values[0] if len(values) == 1 else None

    def tokens(self, name: bytes) -> set[bytes]:
        """The comma-separated values of a header, in lower case."""
        joined = b",".join(self.headers.get(name, []))
        return {token.strip().lower() for token in joined.split(b",")}


@dataclass(frozen=True)
class Admitted:
    """Let in, with this key."""

    key: Key


@dataclass(frozen=True)
class Refused:
    """Kept out: an HTTP status, what is wrong and what to do. Quotes nothing of the request."""

    status: int
    code: str
    """What is wrong in a word or two, for programs: logs, metrics, problem pages."""
    title: str
    advice: str
    headers: tuple[tuple[str, str], ...] = ()
    holdable: bool = False
    """Whether the handshake was whole, so that a person's UI may be told in its own window."""


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
class Rules:
    """What admission goes by."""

    keyring: Keyring
    hosts: HostRule = field(default_factory=HostRule)
    origins: frozenset[bytes] = frozenset()
    links: int = 1024
    """Links that may be open at once."""
    links_of_source: int = 512
    """The same, from one source."""


@dataclass(frozen=True)
class Standing:
    """How things stand when a handshake comes, as far as it bears on the decision."""

    blocked_for: float = 0.0
    """Seconds for which wrong keys of this source are not looked at any more."""
    links: int = 0
    """Links that are open."""
    links_of_source: int = 0
    """Those of them from this source."""


METHOD_NOT_ALLOWED: Final = Refused(
    405, "method", "Only GET opens a WebSocket.", "Use a WebSocket client.", (("Allow", "GET"),)
)
UPGRADE_REQUIRED: Final = Refused(
    426,
    "upgrade-required",
    "This is a WebSocket, and the request does not ask for one.",
    "Set HERMES_TUI_GATEWAY_URL to this address with ws:// in front and ?token=KEY behind, "
    "then run hermes --tui. Behind a proxy: let it pass the Upgrade and Connection headers.",
    (("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
WRONG_VERSION: Final = Refused(
    426,
    "version",
    "Only version 13 of the WebSocket protocol is spoken here.",
    "Use a client that speaks RFC 6455.",
    (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
BAD_HANDSHAKE: Final = Refused(
    400, "handshake", "The WebSocket handshake is malformed.", "Use a client that speaks RFC 6455."
)
AMBIGUOUS_TOKEN: Final = Refused(
    400,
    "key-ambiguous",
    "The key must be given exactly once.",
    "Send one token parameter in the query, or one Authorization: Bearer header.",
    holdable=True,
)
KEY_MISSING: Final = Refused(
    401,
    "key-missing",
    "A key is needed.",
    "Append ?token=KEY to the URL, or send Authorization: Bearer KEY. "
    "On the server, hermes-attach key new NAME makes one and prints the line to paste.",
    (("WWW-Authenticate", "Bearer"),),
    holdable=True,
)
KEY_WRONG: Final = Refused(
    401,
    "key-wrong",
    "This key is not known here, or no longer.",
    "On the server, hermes-attach key list shows the keys' names and which have ended; "
    "key new NAME makes another and prints the line to paste.",
    (("WWW-Authenticate", "Bearer"),),
    holdable=True,
)
ORIGIN_REFUSED: Final = Refused(
    403,
    "origin",
    "Web pages may not attach.",
    "If this page is yours, name its origin with --allow-origin on the server.",
)
HOST_REFUSED: Final = Refused(
    403,
    "host",
    "The Host header does not name this server.",
    "Use the address and port it listens on, or name the other with --allow-host on the server "
    "(for a tunnel from another port: --allow-host 127.0.0.1).",
    holdable=True,
)
_FULL_HEADERS: Final = (("Retry-After", "10"),)
FULL: Final = Refused(
    503,
    "full",
    "As many terminals are attached as this server allows.",
    "Close one, or raise --max-connections on the server.",
    _FULL_HEADERS,
    holdable=True,
)
SOURCE_FULL: Final = Refused(
    503,
    "source-full",
    "As many terminals are attached from this address as this server allows.",
    "Close one, or raise --max-connections-per-address on the server.",
    _FULL_HEADERS,
    holdable=True,
)


def too_many_failures(seconds: float) -> Refused:
    """Wrong keys from one source, again and again; *seconds* until they are looked at again."""
    wait = max(1, math.ceil(seconds))
    return Refused(
        429,
        "too-many-failures",
        "Too many wrong keys came from this address.",
        f"Check the key; a right one is let in at once, others not for {wait} s.",
        (("Retry-After", str(wait)),),
        holdable=True,
    )


def admit(head: Head, rules: Rules, standing: Standing = Standing()) -> Admitted | Refused:
    """Decide on a handshake for `PATH`. Without a valid key nothing gets in.

    And with one everything does, whatever others did from the same address, while
    there is room: on loopback all clients, and all web pages, share one.
    """
    problem = check_handshake(head) or _check_reach(head, rules)
    if problem is not None:
        return problem
    secret = presented(head)
    if isinstance(secret, Refused):
        return secret
    key = rules.keyring.find(secret)
    if key is None:
        return too_many_failures(standing.blocked_for) if standing.blocked_for else KEY_WRONG
    if standing.links >= rules.links:
        return FULL
    return SOURCE_FULL if standing.links_of_source >= rules.links_of_source else Admitted(key)


def check_handshake(head: Head) -> Refused | None:
    """What keeps a request from opening a WebSocket, whoever it comes from."""
    if head.method != b"GET":
        return METHOD_NOT_ALLOWED
    if head.version != b"HTTP/1.1" or any(len(head.headers.get(n, [])) > 1 for n in _SINGLE):
        return BAD_HANDSHAKE
    if b"websocket" not in head.tokens(b"upgrade") or b"upgrade" not in head.tokens(b"connection"):
        return UPGRADE_REQUIRED
    if b"sec-websocket-version" in head.headers and head.one(b"sec-websocket-version") != b"13":
        return WRONG_VERSION
    key = head.one(b"sec-websocket-key") or b""
    has_body = b"transfer-encoding" in head.headers or any(
        length != b"0" for length in head.headers.get(b"content-length", [])
    )
    if b"sec-websocket-version" not in head.headers or not _WEBSOCKET_KEY.fullmatch(key):
        return BAD_HANDSHAKE
    return BAD_HANDSHAKE if has_body else None


def _check_reach(head: Head, rules: Rules) -> Refused | None:
    if not rules.hosts.allows(head.one(b"host")):
        return HOST_REFUSED
    origin = head.one(b"origin")
    if origin is not None and origin not in rules.origins:
        return ORIGIN_REFUSED
    return None


def presented(head: Head) -> bytes | Refused:
    """The one key that the client shows."""
    keys = list(_query_tokens(head.target))
    authorization = head.one(b"authorization")
    if authorization is not None:
        scheme, _, credential = authorization.partition(b" ")
        if scheme.lower() == b"bearer":
            keys.append(credential.strip())
    if not keys:
        return KEY_MISSING
    return keys[0] if len(keys) == 1 else AMBIGUOUS_TOKEN


def _query_tokens(target: bytes) -> Iterable[bytes]:
    _path, _, query = target.partition(b"?")
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_to_bytes(name) == b"token":
            yield unquote_to_bytes(value)
