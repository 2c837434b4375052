"""Keys that admit clients: names, scopes, lifetimes, and the hashes of their secrets."""

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

#: Random bytes in a generated secret: 256 bits.
KEY_BYTES: Final = 32
#: The prefix of every generated secret, by which people and secret scanners recognise it.
KEY_PREFIX: Final = "hat_"
#: Characters of the shortest secret that is accepted, as in `hermes_cli.auth.has_usable_secret`.
MIN_LENGTH: Final = 16
#: Characters that need no encoding in a URL's query (RFC 3986 §2.3).
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: The most keys in a store, including expired and revoked ones.
MAX_KEYS: Final = 1000
#: The names of keys that are not in the store.
FROM_FILE: Final = "key-file"
FROM_ENVIRONMENT: Final = "environment"
FROM_API_SERVER: Final = "api-server"
RESERVED: Final = frozenset({FROM_FILE, FROM_ENVIRONMENT, FROM_API_SERVER})
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Scope(StrEnum):
    """What a key may do."""

    FULL = "full"
    CHAT = "chat"
    WATCH = "watch"


def new_secret() -> str:
    """Return a new random secret of 256 bits that needs no encoding in a URL."""
    return KEY_PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest_of(secret: bytes) -> bytes:
    """Return the hash to store: plain SHA-256, because 256 random bits cannot be guessed."""
    return hashlib.sha256(secret).digest()


def weakness(secret: str) -> str | None:
    """Return why *secret* is too weak, as a predicate of "the key"; None if it is not.

    The text never quotes the secret.
    """
    if len(secret) < MIN_LENGTH:
        return f"is shorter than {MIN_LENGTH} characters"
    if not _UNRESERVED.issuperset(secret):
        return "has characters other than letters, digits and - . _ ~"
    if len(set(secret)) < 6:
        return "repeats a few characters"
    return None


class Keyring(Protocol):
    """The keys that admit at the moment."""

    def find(self, secret: bytes) -> Key | None:
        """Return the active key with this *secret*, None if there is none."""

    def ended(self) -> Mapping[str, str]:
        """Return the ids of keys whose links must end now, each with the reason."""

    def refresh(self, *, anew: bool = False) -> None:
        """Read again the keys whose files have changed; if *anew*, all of them."""


@dataclass(frozen=True)
class Key:
    """A named key, with the hash of its secret. It is also the keyring of itself alone."""

    name: str
    digest: bytes = field(repr=False)
    scope: Scope = Scope.FULL
    id: str = ""
    """Unique among all keys, also those of the same name. Not secret."""

    @classmethod
    def of(cls, name: str, secret: str, scope: Scope = Scope.FULL) -> Key:
        """Make a key with this *secret*. Raises `Problem` if the secret is weak."""
        if weak := weakness(secret):
            raise Problem(f"The key {name!r} {weak}.")
        return cls(name, digest_of(secret.encode()), scope, id=name)

    def find(self, secret: bytes) -> Key | None:
        """Return this key if *secret* is its own, else None. Compares in constant time."""
        return self if hmac.compare_digest(digest_of(secret), self.digest) else None

    def ended(self) -> Mapping[str, str]:
        """Return nothing: a single key does not end."""
        return {}

    def refresh(self, *, anew: bool = False) -> None:
        """Do nothing: a single key does not change."""


class Same(Enum):
    """An argument that leaves a field unchanged, where None has another meaning."""

    SAME = "same"


class KeyState(StrEnum):
    """Whether a stored key admits, and if not, why not."""

    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


_REASONS: Final = {
    KeyState.EXPIRED: "the key has expired",
    KeyState.REVOKED: "the key was revoked",
}


@dataclass(frozen=True)
class Record:
    """A stored key and its lifetime. Times are whole seconds since 1970, UTC."""

    key: Key
    created: int
    expires: int | None = None
    revoked: int | None = None
    disconnect: bool = False
    """Whether the links of the key end when it expires or is revoked."""

    def state(self, now: float) -> KeyState:
        """Return the state at the time *now*."""
        if self.revoked is not None:
            return KeyState.REVOKED
        expired = self.expires is not None and self.expires <= now
        return KeyState.EXPIRED if expired else KeyState.ACTIVE

    def ended_at(self, now: float) -> int | None:
        """Return when the key expired or was revoked, None if it is active at the time *now*."""
        if self.revoked is not None:
            return self.revoked
        return self.expires if self.state(now) is KeyState.EXPIRED else None


@dataclass(frozen=True)
class Keys:
    """The keys of a store. Immutable: each change returns a new `Keys`.

    At most one key of each name is not revoked. Revoked and expired keys stay, for `key list` and
    running servers, until the store is full: then the one that ended first is dropped.
    """

    now: Callable[[], float]
    records: tuple[Record, ...] = ()

    def find(self, secret: bytes) -> Key | None:
        """Return the active key with this *secret*.

        Every key is compared, also ended ones, each in constant time.
        """
        digest, now = digest_of(secret), self.now()
        found = None
        for record in self.records:
            same = hmac.compare_digest(digest, record.key.digest)
            if same and record.state(now) is KeyState.ACTIVE:
                found = record.key
        return found

    def ended(self) -> Mapping[str, str]:
        """Return the ids of expired and revoked keys whose links must end, each with the reason."""
        now = self.now()
        states = {r.key.id: r.state(now) for r in self.records if r.disconnect}
        return {id: _REASONS[state] for id, state in states.items() if state in _REASONS}

    def refresh(self, *, anew: bool = False) -> None:
        """Do nothing: `Keys` do not change."""

    @property
    def active(self) -> tuple[Key, ...]:
        """The keys that admit at the moment."""
        now = self.now()
        return tuple(r.key for r in self.records if r.state(now) is KeyState.ACTIVE)

    def make(
        self, name: str, scope: Scope, *, expires: int | None = None, disconnect: bool = False
    ) -> tuple[Keys, Record, str]:
        """Return the keys with a new one, its record and its secret. Raises `Problem`."""
        check_name(name)
        earlier = self._unrevoked(name)
        if earlier is None:
            return self._with_new(name, scope, expires, disconnect)
        if earlier.state(self.now()) is KeyState.ACTIVE:
            raise Problem(
                f"There is a key {name!r} already.",
                f"`key rotate {name}` gives it a new secret, `key revoke {name}` ends it.",
            )
        return self._revoking(earlier)._with_new(name, scope, expires, disconnect)

    def revoke(self, name: str, *, disconnect: bool = False) -> Keys:
        """Return the keys with the one of that *name* revoked. Raises `Problem`.

        With *disconnect* its links end, too. If all keys of that name are revoked already,
        *disconnect* ends the links of those that were revoked without it.
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
        """Return the keys with the one of that *name* replaced, the new record and its secret.

        Raises `Problem`. Scope and expiry stay the same, unless *expires* is given.
        """
        old = self._named(name)
        if expires is Same.SAME:
            if old.state(self.now()) is KeyState.EXPIRED:
                raise Problem(
                    f"The key {name!r} has expired.",
                    "Choose a lifetime for the new secret: --expires 30d, or --expires never.",
                )
            expires = old.expires
        changed = self._revoking(old, disconnect)
        return changed._with_new(name, old.key.scope, expires, old.disconnect)

    def _with_new(
        self, name: str, scope: Scope, expires: int | None, disconnect: bool
    ) -> tuple[Keys, Record, str]:
        now = self.now()
        if expires is not None and expires <= now:
            raise Problem("A key must not expire before it is made.", "Choose a later --expires.")
        secret = new_secret()
        # Not a part of the digest: with that a reader of the logs could recognise a secret.
        key = Key(name, digest_of(secret.encode()), scope, id=secrets.token_hex(8))
        record = Record(key, int(now), expires, disconnect=disconnect)
        return replace(self, records=(*self._with_room(), record)), record, secret

    def _with_room(self) -> tuple[Record, ...]:
        """Return the records, without the one that ended first if the store is full."""
        if len(self.records) < MAX_KEYS:
            return self.records
        ended = [(end, r) for r in self.records if (end := r.ended_at(self.now())) is not None]
        if not ended:
            raise Problem(
                f"There are {MAX_KEYS} keys, the most that are allowed.", "Revoke some first."
            )
        _end, oldest = min(ended, key=lambda pair: pair[0])
        return tuple(record for record in self.records if record is not oldest)

    def _revoking(self, old: Record, disconnect: bool = False) -> Keys:
        """Return the keys with *old* revoked now."""
        new = replace(old, revoked=int(self.now()), disconnect=old.disconnect or disconnect)
        return replace(self, records=tuple(new if r is old else r for r in self.records))

    def _named(self, name: str) -> Record:
        """Return the key *name* that is not revoked. Raises `Problem` if there is none."""
        record = self._unrevoked(name)
        if record is not None:
            return record
        if any(record.key.name == name for record in self.records):
            raise Problem(f"The key {name!r} is revoked already.")
        raise Problem(f"There is no key {name!r}.", "`key list` shows all keys.")

    def _unrevoked(self, name: str) -> Record | None:
        for record in self.records:
            if record.key.name == name and record.revoked is None:
                return record
        return None


def check_name(name: str) -> None:
    """Check that a stored key can have this *name*. Raises `Problem`."""
    if not _NAME.fullmatch(name):
        raise Problem(
            f"{name!r} cannot be a key's name.",
            "Use up to 64 letters, digits and . _ -, the first a letter or digit.",
        )
    if name.lower() in RESERVED:
        raise Problem(
            f"{name!r} is reserved for a key that is not in the store.", "Choose another."
        )
