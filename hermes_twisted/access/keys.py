"""Keys that admit a client: names, scopes, lifetimes, and hashes to compare with."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from typing import Final, Protocol

from ..shared.problem import Problem

#: Random bytes in a key of ours: 256 bits.
KEY_BYTES: Final = 32
#: So that secret scanners, and people, know what they found.
KEY_PREFIX: Final = "hat_"
#: Shorter secrets, and these, are refused (as `hermes_cli.auth.has_usable_secret` does).
MIN_LENGTH: Final = 16
#: What may stand in a URL's query as it is (RFC 3986 §2.3).
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: Keys that a store holds, the ended ones included.
MAX_KEYS: Final = 1000
#: Keys that are no entry of the store have these names.
FROM_FILE: Final = "key-file"
FROM_ENVIRONMENT: Final = "environment"
FROM_API_SERVER: Final = "api-server"
RESERVED: Final = frozenset({FROM_FILE, FROM_ENVIRONMENT, FROM_API_SERVER})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


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

    def ended(self) -> Mapping[str, str]:
        """The keys whose links are to end now: for the id of each, why."""

    def refresh(self, *, anew: bool = False) -> None:
        """Look whether the keys have changed where they come from; *anew*, read them all."""


@dataclass(frozen=True)
class Key:
    """A named secret, of which the hash alone is kept; the keyring of one, too."""

    name: str
    digest: bytes = field(repr=False)
    scope: Scope = Scope.FULL
    id: str = ""
    """Tells it from earlier and later keys of its name. Not secret."""

    @classmethod
    def of(cls, name: str, secret: str, scope: Scope = Scope.FULL) -> Key:
        """Raises `WeakKey` for what is too short or cannot stand in a URL."""
        if len(secret) < MIN_LENGTH:
            raise WeakKey(f"is shorter than {MIN_LENGTH} characters")
        if not _UNRESERVED.issuperset(secret):
            raise WeakKey("has characters other than letters, digits and - . _ ~")
        if len(set(secret)) < 6:
            raise WeakKey("repeats a few characters")
        return cls(name, digest_of(secret.encode()), scope, id=name)

    def find(self, secret: bytes) -> Key | None:
        """Constant time, whatever *secret* is: digests of equal length are compared."""
        return self if hmac.compare_digest(digest_of(secret), self.digest) else None

    def ended(self) -> Mapping[str, str]:
        """A key by itself has no end."""
        return {}

    def refresh(self, *, anew: bool = False) -> None:
        """A key by itself does not change."""


class Same(Enum):
    """Says that something stays as it was, where None has a meaning of its own."""

    SAME = "same"


class KeyState(StrEnum):
    """Whether a stored key admits, and if not, why."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


_REASONS: Final = {
    KeyState.EXPIRED: "the key has expired",
    KeyState.REVOKED: "the key was revoked",
}


@dataclass(frozen=True)
class Record:
    """A stored key and its life. Times are whole seconds since 1970, UTC."""

    key: Key
    created: int
    expires: int | None = None
    revoked: int | None = None
    disconnect: bool = False
    """Whether the links of the key end with it."""

    def state(self, now: float) -> KeyState:
        """At the time *now*."""
        if self.revoked is not None:
            return KeyState.REVOKED
        expired = self.expires is not None and self.expires <= now
        return KeyState.EXPIRED if expired else KeyState.ACTIVE

    def ended_at(self, now: float) -> int | None:
        """When it ended, if it has."""
        if self.revoked is not None:
            return self.revoked
        return self.expires if self.state(now) is KeyState.EXPIRED else None


@dataclass(frozen=True)
class Keys:
    """The keys of a store, and what can be done to them: each change makes another `Keys`.

    A name belongs to one key that is not revoked; the revoked ones are kept, oldest out,
    so that their owner and a running server can see what became of them.
    """

    now: Callable[[], float]
    records: tuple[Record, ...] = ()

    def find(self, secret: bytes) -> Key | None:
        """As `Keyring`: every key is compared, the ended ones too, each in constant time."""
        digest, now = digest_of(secret), self.now()
        found = None
        for record in self.records:
            same = hmac.compare_digest(digest, record.key.digest)
            if same and record.state(now) is KeyState.ACTIVE:
                found = record.key
        return found

    def ended(self) -> Mapping[str, str]:
        """As `Keyring`."""
        now = self.now()
        states = {r.key.id: r.state(now) for r in self.records if r.disconnect}
        return {id: _REASONS[state] for id, state in states.items() if state in _REASONS}

    def refresh(self, *, anew: bool = False) -> None:
        """These do not change."""

    @property
    def active(self) -> tuple[Key, ...]:
        """The keys that admit, now."""
        now = self.now()
        return tuple(r.key for r in self.records if r.state(now) is KeyState.ACTIVE)

    def make(
        self, name: str, scope: Scope, *, expires: int | None = None, disconnect: bool = False
    ) -> tuple[Keys, Record, str]:
        """With a new key: its record, and its secret. Raises `Problem`."""
        check_name(name)
        earlier = self._unrevoked(name)
        if earlier is None:
            return self._with_new(name, scope, expires, disconnect)
        if earlier.state(self.now()) is KeyState.ACTIVE:
            raise Problem(
                f"there is a key {name!r} already: `key rotate {name}` gives it a new secret, "
                f"`key revoke {name}` ends it"
            )
        return self._revoking(earlier)._with_new(name, scope, expires, disconnect)

    def revoke(self, name: str, *, disconnect: bool = False) -> Keys:
        """Without the key of that name. Raises `Problem`.

        *disconnect* may come later: then it is for the keys of that name that were revoked.
        """
        if self._unrevoked(name) is None and disconnect:
            old = [r for r in self.records if r.key.name == name and not r.disconnect]
            if old:
                records = (replace(r, disconnect=r.disconnect or r in old) for r in self.records)
                return replace(self, records=tuple(records))
        return self._revoking(self._named(name), disconnect)

    def rotate(
        self, name: str, *, disconnect: bool = False, expires: int | Same | None = Same.SAME
    ) -> tuple[Keys, Record, str]:
        """With a new secret for that name; the old one is revoked. Raises `Problem`.

        Scope stays as it was, and so does the expiry unless *expires* says otherwise.
        """
        old = self._named(name)
        if expires is Same.SAME:
            if old.state(self.now()) is KeyState.EXPIRED:
                raise Problem(
                    f"key {name!r} has expired: say how long the new secret is to last, with "
                    "--expires 30d or --expires never"
                )
            expires = old.expires
        changed = self._revoking(old, disconnect)
        return changed._with_new(name, old.key.scope, expires, old.disconnect)

    def _with_new(
        self, name: str, scope: Scope, expires: int | None, disconnect: bool
    ) -> tuple[Keys, Record, str]:
        now = self.now()
        if expires is not None and expires <= now:
            raise Problem("a key must not expire before it is made: choose a later --expires")
        secret = new_secret()
        # Not the start of the digest: whoever reads a log shall not recognise a secret by it.
        key = Key(name, digest_of(secret.encode()), scope, id=secrets.token_hex(8))
        record = Record(key, int(now), expires, disconnect=disconnect)
        return replace(self, records=(*self._with_room(), record)), record, secret

    def _with_room(self) -> tuple[Record, ...]:
        if len(self.records) < MAX_KEYS:
            return self.records
        ended = [(end, r) for r in self.records if (end := r.ended_at(self.now())) is not None]
        if not ended:
            raise Problem(f"there are {MAX_KEYS} keys, which is the most: revoke some first")
        _end, oldest = min(ended, key=lambda pair: pair[0])
        return tuple(record for record in self.records if record is not oldest)

    def _revoking(self, old: Record, disconnect: bool = False) -> Keys:
        new = replace(old, revoked=int(self.now()), disconnect=old.disconnect or disconnect)
        return replace(self, records=tuple(new if r is old else r for r in self.records))

    def _named(self, name: str) -> Record:
        record = self._unrevoked(name)
        if record is not None:
            return record
        if any(record.key.name == name for record in self.records):
            raise Problem(f"key {name!r} is revoked already")
        raise Problem(f"there is no key {name!r}; `key list` names those there are")

    def _unrevoked(self, name: str) -> Record | None:
        for record in self.records:
            if record.key.name == name and record.revoked is None:
                return record
        return None


def check_name(name: str) -> None:
    """Raises `Problem` for what a stored key cannot be called."""
    if not _NAME.fullmatch(name):
        raise Problem(
            f"{name!r} cannot be a key's name: up to 64 letters, digits and . _ -, the first a "
            "letter or digit"
        )
    if name.lower() in RESERVED:
        raise Problem(f"{name!r} is the name of a key from elsewhere: choose another")
