from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from hermes_twisted.access.keys import (
    MAX_KEYS,
    RESERVED,
    Key,
    Keys,
    KeyState,
    Scope,
    new_secret,
)
from hermes_twisted.shared.problem import Problem
from tests.unit.access.conftest import Now

SECRET = "correct-horse-battery-staple"


def test_new_secrets() -> None:
    """A fresh secret has our prefix, 256 bits, and stands in a URL as it is."""
    secret = new_secret()

    assert re.fullmatch(r"hat_[A-Za-z0-9_-]{43}", secret)
    assert new_secret() != secret
    Key.of("k", secret)


def test_the_key_is_known() -> None:
    """The very secret gives the key's name."""
    assert Key.of("laptop", SECRET).find(SECRET.encode()) == Key.of("laptop", SECRET)


@pytest.mark.parametrize(
    "other",
    [
        b"",
        SECRET.encode()[:-1],
        SECRET.encode() + b"x",
        SECRET.encode() + b"\n",
        SECRET.encode() + b"\0",
        b" " + SECRET.encode(),
        SECRET.upper().encode(),
        b"\xff\xfe",
        b"x" * 1_000_000,
    ],
)
def test_no_other_is(other: bytes) -> None:
    """Anything else, however close, long or odd, is unknown."""
    assert Key.of("laptop", SECRET).find(other) is None


def test_the_hash_is_not_a_key() -> None:
    """Who has read the stored hash does not get in with it."""
    key = Key.of("laptop", SECRET)

    assert key.find(key.digest) is None
    assert key.find(key.digest.hex().encode()) is None


def test_the_secret_is_not_kept() -> None:
    """Neither the object nor its text holds the secret."""
    key = Key.of("laptop", SECRET)

    assert SECRET not in repr(key)
    assert SECRET not in map(str, vars(key).values())


@pytest.mark.parametrize(
    ("secret", "complaint"),
    [
        ("", "shorter than 16"),
        ("abcdefghijklmno", "shorter than 16"),
        ("abcdefghijklmno p", "characters other than"),
        ("abcdefghijklmnop\n", "characters other than"),
        ("abcdefghijklmnop+", "characters other than"),
        ("abcdefghijklmnop%", "characters other than"),
        ("abcdefghijklmnop&", "characters other than"),
        ("abcdefghijklmnop'", "characters other than"),
        ("abcdefghijklmnöp", "characters other than"),
        ("a" * 32, "repeats"),
        ("abcde" * 8, "repeats"),
    ],
)
def test_weak_secrets(secret: str, complaint: str) -> None:
    """What is short, cannot stand in a URL, or repeats itself may not guard a shell."""
    with pytest.raises(Problem, match=complaint) as caught:
        Key.of("k", secret)

    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("secret", ["abcdefghijklmnop", "abcdef" * 3, "-._~-._~ABCD1234"])
def test_good_enough(secret: str) -> None:
    """16 characters, six of them different, of what RFC 3986 leaves unreserved, will do."""
    assert Key.of("k", secret).find(secret.encode()) is not None


@pytest.fixture
def keys(now: Now) -> Keys:
    """A store without keys."""
    return Keys(now)


def complaint(call: Callable[[], object]) -> str:
    with pytest.raises(Problem) as caught:
        call()
    return str(caught.value)


class TestMaking:
    def test_new_key_admits(self, keys: Keys) -> None:
        """A new secret gives its key, with name and scope; the store before is unchanged."""
        after, record, secret = keys.make("laptop", Scope.CHAT)

        assert after.find(secret.encode()) == record.key
        assert (record.key.name, record.key.scope) == ("laptop", Scope.CHAT)
        assert record.created == 1_800_000_000
        assert keys.records == ()
        assert secret not in repr(after)

    def test_several(self, keys: Keys) -> None:
        """Each secret gives its own key, and no two keys have the same id."""
        secrets = {}
        for name in ("a", "b", "c"):
            keys, _record, secrets[name] = keys.make(name, Scope.FULL)

        found = {name: keys.find(secret.encode()) for name, secret in secrets.items()}

        assert {name: key.name for name, key in found.items() if key} == {
            name: name for name in "abc"
        }
        assert len({key.id for key in found.values() if key}) == 3
        assert keys.find(b"none of them") is None
        assert [key.name for key in keys.active] == ["a", "b", "c"]

    def test_every_key_is_compared(self, keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
        """The time of an answer tells neither which key it was nor that there is none."""
        secrets = []
        for number in range(5):
            keys, _record, secret = keys.make(f"k{number}", Scope.FULL)
            secrets.append(secret)
        keys = keys.revoke("k1")
        compared: list[bytes] = []

        def compare(one: bytes, other: bytes) -> bool:
            compared.append(other)
            return one == other

        monkeypatch.setattr("hermes_twisted.access.keys.hmac.compare_digest", compare)
        for secret in [*secrets, "wrong"]:
            compared.clear()
            keys.find(secret.encode())
            assert len(compared) == 5

    @pytest.mark.parametrize(
        "name", ["", ".a", "-a", "_a", "a b", "a/b", "a\n", "ä", "a" * 65, "x\x1b[2J"]
    )
    def test_bad_names(self, keys: Keys, name: str) -> None:
        """A name is safe in a log line, a file and a shell."""
        assert "cannot be a key's name" in complaint(lambda: keys.make(name, Scope.FULL))

    @pytest.mark.parametrize("name", [*sorted(RESERVED), "Key-File"])
    def test_reserved_names(self, keys: Keys, name: str) -> None:
        """Names of keys that are not in the store are not for those that are."""
        assert "is reserved" in complaint(lambda: keys.make(name, Scope.FULL))

    @pytest.mark.parametrize("name", ["a", "1", "a.b_c-d", "A" * 64])
    def test_good_names(self, keys: Keys, name: str) -> None:
        assert keys.make(name, Scope.FULL)[1].key.name == name

    def test_name_is_taken(self, keys: Keys) -> None:
        """A living key keeps its name."""
        keys, _record, _secret = keys.make("laptop", Scope.FULL)

        text = complaint(lambda: keys.make("laptop", Scope.FULL))

        assert "key rotate laptop" in text and "key revoke laptop" in text

    def test_name_is_free_again(self, keys: Keys, now: Now) -> None:
        """The name of a key that was revoked or has expired may be used again."""
        keys, _record, first = keys.make("laptop", Scope.FULL)
        keys, _record, second = keys.revoke("laptop").make(
            "laptop", Scope.FULL, expires=int(now.seconds) + 1
        )
        now.seconds += 1
        keys, record, third = keys.make("laptop", Scope.FULL)

        assert keys.find(third.encode()) == record.key
        assert keys.find(first.encode()) is keys.find(second.encode()) is None
        assert [r.state(now()) for r in keys.records] == [
            KeyState.REVOKED,
            KeyState.REVOKED,
            KeyState.ACTIVE,
        ]

    def test_expired_before_it_is_made(self, keys: Keys, now: Now) -> None:
        assert "later --expires" in complaint(
            lambda: keys.make("a", Scope.FULL, expires=int(now.seconds))
        )


class TestEnds:
    def test_expiry(self, keys: Keys, now: Now) -> None:
        """A key admits up to its last second."""
        keys, record, secret = keys.make("a", Scope.FULL, expires=1_800_000_010)

        now.seconds = 1_800_000_009.9
        assert keys.find(secret.encode()) == record.key
        now.seconds = 1_800_000_010.0
        assert keys.find(secret.encode()) is None
        assert keys.active == ()
        assert keys.records[0].state(now()) is KeyState.EXPIRED

    def test_revocation(self, keys: Keys, now: Now) -> None:
        """A revoked key admits nobody; its record stays, the others are not touched."""
        keys, record, secret = keys.make("a", Scope.FULL)
        keys, other, other_secret = keys.make("b", Scope.FULL)
        now.seconds += 5

        keys = keys.revoke("a")

        assert keys.find(secret.encode()) is None
        assert keys.find(other_secret.encode()) == other.key
        assert keys.records[0].revoked == record.created + 5

    def test_revoking_what_is_not_there(self, keys: Keys) -> None:
        assert "There is no key 'a'" in complaint(lambda: keys.revoke("a"))

    def test_revoking_twice(self, keys: Keys) -> None:
        keys = keys.make("a", Scope.FULL)[0].revoke("a")

        assert "revoked already" in complaint(lambda: keys.revoke("a"))

    def test_links_stay(self, keys: Keys, now: Now) -> None:
        """Unless told otherwise, the end of a key ends no link."""
        keys = keys.make("a", Scope.FULL)[0].make("b", Scope.FULL, expires=1_800_000_001)[0]
        keys = keys.revoke("a")
        now.seconds += 9

        assert keys.ended() == {}

    def test_links_end_with_a_revoked_key(self, keys: Keys) -> None:
        keys, record, _secret = keys.make("a", Scope.FULL)
        keys = keys.make("b", Scope.FULL)[0]
        assert keys.ended() == {}

        keys = keys.revoke("a", disconnect=True)

        assert keys.ended() == {record.key.id: "the key was revoked"}

    def test_links_end_later(self, keys: Keys) -> None:
        """Whoever revoked a key can still say that its links are to end."""
        keys, record, _secret = keys.make("a", Scope.FULL)
        keys = keys.revoke("a")

        assert record.key.id in keys.revoke("a", disconnect=True).ended()

    def test_links_of_earlier_keys_stay(self, keys: Keys) -> None:
        """While the name has a living key, it is that one whose links end."""
        keys = keys.make("a", Scope.FULL)[0].revoke("a")
        keys, record, _secret = keys.make("a", Scope.FULL)

        assert list(keys.revoke("a", disconnect=True).ended()) == [record.key.id]

    def test_links_end_with_an_expired_key(self, keys: Keys, now: Now) -> None:
        keys, record, _secret = keys.make("a", Scope.FULL, expires=1_800_000_001, disconnect=True)
        assert keys.ended() == {}

        now.seconds += 1

        assert keys.ended() == {record.key.id: "the key has expired"}

    def test_made_to_disconnect(self, keys: Keys) -> None:
        """Links that are to end with their key end, too, when it is revoked without a word."""
        keys, record, _secret = keys.make("a", Scope.FULL, disconnect=True)

        assert record.key.id in keys.revoke("a").ended()


class TestRotation:
    def test_new_secret(self, keys: Keys) -> None:
        """The new secret admits under the old name and scope, the old secret no more."""
        keys, old, old_secret = keys.make("a", Scope.WATCH, expires=1_800_000_100, disconnect=True)

        keys, new, secret = keys.rotate("a")

        assert keys.find(old_secret.encode()) is None
        assert keys.find(secret.encode()) == new.key
        assert (new.key.name, new.key.scope) == ("a", Scope.WATCH)
        assert (new.expires, new.disconnect) == (1_800_000_100, True)
        assert new.key.id != old.key.id

    @pytest.mark.parametrize("disconnect", [False, True])
    def test_links_of_the_old_secret(self, keys: Keys, disconnect: bool) -> None:
        """They end if that was asked for; those of the new one do not."""
        keys, old, _secret = keys.make("a", Scope.FULL)

        keys, new, _secret = keys.rotate("a", disconnect=disconnect)

        assert list(keys.ended()) == ([old.key.id] if disconnect else [])
        assert not new.disconnect

    def test_other_expiry(self, keys: Keys) -> None:
        keys = keys.make("a", Scope.FULL, expires=1_800_000_100)[0]

        assert keys.rotate("a", expires=None)[1].expires is None
        assert keys.rotate("a", expires=1_800_000_200)[1].expires == 1_800_000_200

    def test_expired(self, keys: Keys, now: Now) -> None:
        """An expired key is rotated only with a new expiry."""
        keys = keys.make("a", Scope.FULL, expires=1_800_000_001)[0]
        now.seconds += 1

        assert "--expires never" in complaint(lambda: keys.rotate("a"))
        keys, record, secret = keys.rotate("a", expires=None)
        assert keys.find(secret.encode()) == record.key

    def test_revoked_or_absent(self, keys: Keys) -> None:
        revoked = keys.make("a", Scope.FULL)[0].revoke("a")

        assert "revoked already" in complaint(lambda: revoked.rotate("a"))
        assert "There is no key" in complaint(lambda: keys.rotate("a"))


class TestBound:
    def test_oldest_end_is_forgotten(self, keys: Keys, now: Now) -> None:
        """A full store forgets the key that ended first, and none that lives."""
        living, _record, secret = keys.make("living", Scope.FULL)
        keys = living
        for number in range(MAX_KEYS - 1):
            keys = keys.make(f"k{number}", Scope.FULL)[0]
        now.seconds += 1
        keys = keys.revoke("k7")
        now.seconds += 1
        keys = keys.revoke("k3")

        keys = keys.make("new", Scope.FULL)[0]

        names = [record.key.name for record in keys.records]
        assert len(names) == MAX_KEYS
        assert "k7" not in names and "k3" in names
        assert keys.find(secret.encode()) is not None

    def test_full(self, keys: Keys) -> None:
        """A store full of living keys takes no more."""
        for number in range(MAX_KEYS):
            keys = keys.make(f"k{number}", Scope.FULL)[0]

        assert str(MAX_KEYS) in complaint(lambda: keys.make("more", Scope.FULL))


def test_ids(keys: Keys) -> None:
    """An id is random, and no part of the hash: it stands in logs."""
    keys, record, _secret = keys.make("a", Scope.FULL)

    assert re.fullmatch("[0-9a-f]{16}", record.key.id)
    assert record.key.id not in record.key.digest.hex()


def test_a_key_does_not_show_itself() -> None:
    """Neither the secret nor what it could be guessed by, wherever a key is printed."""
    key = Key.of("laptop", SECRET)

    for text in (repr(key), str(key), f"{key}"):
        assert "laptop" in text
        assert SECRET not in text
        assert repr(key.digest) not in text
        assert key.digest.hex() not in text
