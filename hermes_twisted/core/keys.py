"""Secrets that admit a client, as far as they have to be compared."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
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


def new_secret() -> str:
    """A fresh random key: URL-safe, 256 bits."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


class Keyring(Protocol):
    """Knows which secrets admit."""

    def name_of(self, secret: bytes) -> str | None:
        """The name of the key that *secret* is, or None."""


@dataclass(frozen=True)
class SingleKey:
    """The keyring of one secret. Keeps its hash only."""

    name: str
    digest: bytes

    @classmethod
    def of(cls, name: str, secret: str) -> SingleKey:
        """Raises `WeakKey` for what is too short or cannot stand in a URL."""
        if len(secret) < MIN_LENGTH:
            raise WeakKey(f"is shorter than {MIN_LENGTH} characters")
        if not _UNRESERVED.issuperset(secret):
            raise WeakKey("has characters other than letters, digits and - . _ ~")
        if len(set(secret)) < 6:
            raise WeakKey("repeats a few characters")
        return cls(name, hashlib.sha256(secret.encode()).digest())

    def name_of(self, secret: bytes) -> str | None:
        """Constant time, whatever *secret* is: digests of equal length are compared."""
        same = hmac.compare_digest(hashlib.sha256(secret).digest(), self.digest)
        return self.name if same else None
