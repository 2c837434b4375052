from __future__ import annotations

import re

import pytest

from hermes_twisted.core.keys import Key, WeakKey, new_secret

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
    with pytest.raises(WeakKey, match=complaint) as caught:
        Key.of("k", secret)

    assert not secret or secret not in str(caught.value)


@pytest.mark.parametrize("secret", ["abcdefghijklmnop", "abcdef" * 3, "-._~-._~ABCD1234"])
def test_good_enough(secret: str) -> None:
    """16 characters, six of them different, of what RFC 3986 leaves unreserved, will do."""
    assert Key.of("k", secret).find(secret.encode()) is not None


def test_a_key_does_not_show_itself() -> None:
    """Neither the secret nor what it could be guessed by, wherever a key is printed."""
    key = Key.of("laptop", SECRET)

    for text in (repr(key), str(key), f"{key}"):
        assert "laptop" in text
        assert SECRET not in text
        assert repr(key.digest) not in text
        assert key.digest.hex() not in text
