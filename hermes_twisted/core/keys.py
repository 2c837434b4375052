"""Keys that admit a client: names, scopes, lifetimes, and hashes to compare with."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

#: Random bytes in a key of ours: 256 bits.
KEY_BYTES: Final = 32
#: So that secret scanners, and people, know what they found.
KEY_PREFIX: Final = "hat_"
#: Shorter secrets, and these, are refused (as `hermes_cli.auth.has_usable_secret` does).
MIN_LENGTH: Final = 16
#: What may stand in a URL's query as it is (RFC 3986 §2.3).
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


class WeakKey(Exception):
    """A secret that must not guard a shell; the text says what is wrong, never the secret."""


class Scope(StrEnum):
    """What the holder of a key may ask for."""

    FULL = "full"
    CHAT = "chat"
    WATCH = "watch"


def new_secret() -> str:
    """A fresh random key: URL-safe, 256 bits."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest_of(secret: bytes) -> bytes:
    """What is kept of a secret. A plain hash will do: 256 random bits cannot be searched."""
    return hashlib.sha256(secret).digest()


class Keyring(Protocol):
    """Knows which secrets admit, now."""

    def find(self, secret: bytes) -> Key | None:
        """The key that *secret* is, or None if there is none, or it has ended."""


@dataclass(frozen=True)
class Key:
    """A named secret, of which the hash alone is kept; the keyring of one, too."""

    name: str
    digest: bytes = field(repr=False)
    scope: Scope = Scope.FULL

    @classmethod
    def of(cls, name: str, secret: str, scope: Scope = Scope.FULL) -> Key:
        """Raises `WeakKey` for what is too short or cannot stand in a URL."""
        if len(secret) < MIN_LENGTH:
            raise WeakKey(f"is shorter than {MIN_LENGTH} characters")
        if not _UNRESERVED.issuperset(secret):
            raise WeakKey("has characters other than letters, digits and - . _ ~")
        if len(set(secret)) < 6:
            raise WeakKey("repeats a few characters")
        return cls(name, digest_of(secret.encode()), scope)

    def find(self, secret: bytes) -> Key | None:
        """Constant time, whatever *secret* is: digests of equal length are compared."""
        return self if hmac.compare_digest(digest_of(secret), self.digest) else None
