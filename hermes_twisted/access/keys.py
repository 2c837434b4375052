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

#: Random bytes in a key of ours: 256 bits.
KEY_BYTES: Final = 32
#: Begins every secret of ours, so that secret scanners, and people, recognise it.
KEY_PREFIX: Final = "hat_"
#: The shortest secret that is accepted (as `hermes_cli.auth.has_usable_secret` has it).
MIN_LENGTH: Final = 16
#: Characters that need no encoding in a URL's query (RFC 3986 §2.3).
_UNRESERVED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
#: Keys in a store, the ended ones included.
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
    """Return the hash that is stored: plain SHA-256, for 256 random bits cannot be guessed."""
    return hashlib.sha256(secret).digest()


def weakness(secret: str) -> str | None:
    """Return why *secret* must not guard a shell, to follow "the key ..."; None if it may.

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
        """Return the key with this *secret*, None if there is none or it has ended."""

    def ended(self) -> Mapping[str, str]:
        """Return the ids of keys whose links have to end now, each with the reason."""

    def refresh(self, *, anew: bool = False) -> None:
        """Read again the keys whose files have changed; if *anew*, all of them."""


@dataclass(frozen=True)
class Key:
    """A named key, with the hash of its secret. It is also the keyring of itself alone."""

    name: str
    digest: bytes = field(repr=False)
    scope: Scope = Scope.FULL
    id: str = ""
    """Differs from that of earlier and later keys of the same name. Not secret."""

    @classmethod
    def of(cls, name: str, secret: str, scope: Scope = Scope.FULL) -> Key:
        """Return the key with this *secret*. Raises `Problem` for a weak one."""
        if weak := weakness(secret):
            raise Problem(f"The key {name!r} {weak}.")
        return cls(name, digest_of(secret.encode()), scope, id=name)

    def find(self, secret: bytes) -> Key | None:
        """Return this key if *secret* is its own, else None. Takes the same time for any."""
        return self if hmac.compare_digest(digest_of(secret), self.digest) else None

    def ended(self) -> Mapping[str, str]:
        """Return nothing: a single key does not end."""
        return {}

    def refresh(self, *, anew: bool = False) -> None:
        """Do nothing: a single key does not change."""


class Same(Enum):
    """The value that leaves a field unchanged where None has a meaning of its own."""

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
    """Whether the links of the key end when it does."""

    def state(self, now: float) -> KeyState:
        """Return the state at the time *now*."""
        if self.revoked is not None:
            return KeyState.REVOKED
        expired = self.expires is not None and self.expires <= now
        return KeyState.EXPIRED if expired else KeyState.ACTIVE

    def ended_at(self, now: float) -> int | None:
        """Return when it ended, None if it has not by the time *now*."""
        if self.revoked is not None:
            return self.revoked
        return self.expires if self.state(now) is KeyState.EXPIRED else None


@dataclass(frozen=True)
class Keys:
    """The keys of a store. Immutable: each change returns another `Keys`.

    Of the keys with one name all but one are revoked. Revoked keys are kept, so that `key list`
    and running servers know them, until the store is full: then the oldest is dropped.
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
        """Return the ids of ended keys whose links have to end, each with the reason."""
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
        """Add a new key; return the keys, its record and its secret. Raises `Problem`."""
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
        """Revoke the key of that name. Raises `Problem`.

        With *disconnect* its links end, too; also those of keys of that name which were revoked
        without it before.
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
        """Revoke the key of that name and add one with a new secret. Raises `Problem`.

        The scope stays the same, and so does the expiry unless *expires* is given.
        """
        old = self._named(name)
        if expires is Same.SAME:
            if old.state(self.now()) is KeyState.EXPIRED:
                raise Problem(
                    f"The key {name!r} has expired.",
                    "Say how long the new secret is to last, with --expires 30d or --expires "
                    "never.",
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
        # Random, not a part of the digest, by which a reader of logs could recognise a secret.
        key = Key(name, digest_of(secret.encode()), scope, id=secrets.token_hex(8))
        record = Record(key, int(now), expires, disconnect=disconnect)
        return replace(self, records=(*self._with_room(), record)), record, secret

    def _with_room(self) -> tuple[Record, ...]:
        if len(self.records) < MAX_KEYS:
            return self.records
        ended = [(end, r) for r in self.records if (end := r.ended_at(self.now())) is not None]
        if not ended:
            raise Problem(f"There are {MAX_KEYS} keys, which is the most.", "Revoke some first.")
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
            raise Problem(f"The key {name!r} is revoked already.")
        raise Problem(f"There is no key {name!r}.", "`key list` names those there are.")

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
        raise Problem(f"{name!r} is the name of a key from elsewhere.", "Choose another.")
