"""Checks the head of a handshake (RFC 6455 §4.2.1), and extracts the key from it.

Everything is compared as raw bytes. Only the token is percent-decoded, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote_to_bytes

from .refusals import (
    AMBIGUOUS_TOKEN,
    BAD_HANDSHAKE,
    KEY_MISSING,
    METHOD_NOT_ALLOWED,
    UPGRADE_REQUIRED,
    WRONG_VERSION,
    Refusal,
)

PATH: Final = b"/api/ws"
#: `Sec-WebSocket-Key`: 16 bytes in base64 (RFC 6455 §4.1).
_WEBSOCKET_KEY: Final = re.compile(rb"[A-Za-z0-9+/]{22}==")
#: Headers that are ambiguous when they are repeated.
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
        """Return the value of a header that occurs exactly once, else None."""
        values = self.headers.get(name, [])
        return values[0] if len(values) == 1 else None

    def tokens(self, name: bytes) -> set[bytes]:
        """Return the comma-separated values of a header, in lower case."""
        joined = b",".join(self.headers.get(name, []))
        return {token.strip().lower() for token in joined.split(b",")}


def check_handshake(head: Head) -> Refusal | None:
    """Return the refusal of an invalid handshake, None for a valid one."""
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


def presented_key(head: Head) -> bytes | Refusal:
    """Return the key from the query or the `Authorization: Bearer` header.

    Returns a refusal if there is none, or more than one.
    """
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
    """Yield the value of each `token` parameter."""
    _path, _, query = target.partition(b"?")
    for part in query.split(b"&"):
        name, _, value = part.partition(b"=")
        if unquote_to_bytes(name) == b"token":
            yield unquote_to_bytes(value)
