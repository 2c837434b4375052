from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_twisted.access import store_format
from hermes_twisted.access.keys import MAX_KEYS, Keys, Scope
from hermes_twisted.access.store_format import MAX_BYTES
from hermes_twisted.shared.problem import Problem


def now() -> float:
    return 1_800_000_000.0


@pytest.fixture
def keys() -> Keys:
    """Keys in every state."""
    keys = Keys(now).make("laptop", Scope.FULL, expires=1_900_000_000, disconnect=True)[0]
    keys = keys.make("phone", Scope.WATCH)[0].revoke("phone")
    return keys.make("phone", Scope.CHAT)[0]


def changed(keys: Keys, number: int = 0, **fields: Any) -> bytes:
    """The text of *keys*, with other fields in one entry; `...` takes one away."""
    content = json.loads(store_format.dump(keys))
    entry = content["keys"][number]
    entry |= fields
    for name in [name for name, value in entry.items() if value is ...]:
        del entry[name]
    return json.dumps(content).encode()


def complaint(text: bytes) -> str:
    with pytest.raises(Problem) as caught:
        store_format.load(text, now)
    return str(caught.value)


def test_round_trip(keys: Keys) -> None:
    """What was written is read again, whole."""
    assert store_format.load(store_format.dump(keys), now) == keys


def test_format(keys: Keys) -> None:
    """The text is JSON with a version, times in RFC 3339, and hashes alone."""
    keys, record, secret = keys.make("new", Scope.FULL)
    text = store_format.dump(keys)

    content = json.loads(text)

    assert content["version"] == 1
    assert content["keys"][0]["expires"] == "2030-03-17T17:46:40Z"
    assert content["keys"][-1] == {
        "id": record.key.id,
        "name": "new",
        "sha256": record.key.digest.hex(),
        "scope": "full",
        "created": "2027-01-15T08:00:00Z",
        "expires": None,
        "revoked": None,
        "disconnect": False,
    }
    assert secret.encode() not in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"\xff", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b'{"version": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b"[]", '"version"'),
        (b"{}", '"version"'),
        (b'{"version": 2, "keys": []}', "version is not 1"),
        (b'{"version": "1", "keys": []}', "version is not 1"),
        (b'{"version": true, "keys": []}', "version is not 1"),
        (b'{"version": 1}', "nothing else"),
        (b'{"version": 1, "keys": {}}', "nothing else"),
        (b'{"version": 1, "keys": [], "more": 1}', "nothing else"),
        (b'{"version": 1, "version": 1, "keys": []}', "twice"),
        (b'{"version": 1, "keys": [1]}', "key 1 is not an object"),
        (b'{"version": 1, "keys": [{}]}', "key 1 has no name"),
        (b'{"version": 1, "keys": [{"name": "a b"}]}', "key 1: 'a b' cannot be"),
        (b" " * (MAX_BYTES + 1), "larger"),
    ],
)
def test_not_a_store(text: bytes, what: str) -> None:
    """What is not a store of this version is refused, and it is said why."""
    assert what in complaint(text)


@pytest.mark.parametrize(
    ("fields", "what"),
    [
        ({"id": "x"}, "id must be"),
        ({"id": None}, "id must be"),
        ({"sha256": "00"}, "sha256 must be"),
        ({"sha256": 5}, "sha256 must be"),
        ({"sha256": "A" * 64}, "sha256 must be"),
        ({"scope": "root"}, "scope must be one of full, chat, watch"),
        ({"scope": ["full"]}, "scope must be"),
        ({"disconnect": 1}, "disconnect must be true or false"),
        ({"created": None}, "created must be a time"),
        ({"created": 1}, "created must be a time"),
        ({"expires": "2026-12-31"}, "expires must be a time such as 2026-12-31T00:00:00Z, or null"),
        ({"expires": "2026-13-31T00:00:00Z"}, "expires must be"),
        ({"revoked": False}, "revoked must be"),
        ({"revoked": ...}, "the field 'revoked' is missing"),
        ({"networks": ["10.0.0.0/8"]}, "the field 'networks' is not known here"),
        ({"name": "api-server"}, "is reserved"),
    ],
)
def test_bad_entry(keys: Keys, fields: dict[str, Any], what: str) -> None:
    """The entry and the field that are wrong are named, and no hash is quoted."""
    text = complaint(changed(keys, 1, **fields))

    assert text.startswith("key 2")
    assert what in text
    assert not any(record.key.digest.hex() in text for record in keys.records)


@pytest.mark.parametrize("field", ["id", "sha256", "name"])
def test_twice(keys: Keys, field: str) -> None:
    """Two keys with one id, hash or name would make it a guess which is meant."""
    first = json.loads(store_format.dump(keys))["keys"][0]

    assert f"key 3 ({first['name'] if field == 'name' else 'phone'}) has the {field}" in complaint(
        changed(keys, 2, **{field: first[field]})
    )


def test_largest() -> None:
    """As many keys as there may be, with the longest names, fit well into the file."""
    keys = Keys(now)
    for number in range(MAX_KEYS):
        keys = keys.make(f"{number:064}", Scope.WATCH, expires=1_900_000_000)[0].revoke(
            f"{number:064}"
        )
    text = store_format.dump(keys)

    assert len(text) < MAX_BYTES / 2
    assert store_format.load(text, now) == keys

    content = json.loads(text)
    content["keys"].append(content["keys"][0])
    assert f"more than {MAX_KEYS}" in complaint(json.dumps(content).encode())


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
_FIELDS = ["id", "name", "sha256", "scope", "created", "expires", "revoked", "disconnect"]


@given(st.dictionaries(st.sampled_from(_FIELDS), _JSON, min_size=1))
def test_any_entry(fields: dict[str, Any]) -> None:
    """Whatever stands in an entry, it is a key or a clear refusal."""
    good = Keys(now).make("laptop", Scope.FULL)[0]

    try:
        loaded = store_format.load(changed(good, **fields), now)
    except Problem as bad:
        assert str(bad).startswith("key 1")
    else:
        assert len(loaded.records) == 1


@given(_JSON)
def test_any_json(content: Any) -> None:
    """Whatever the file holds, it is a store or a clear refusal."""
    with pytest.raises(Problem):
        store_format.load(json.dumps(content).encode(), now)
