"""The text of a key store: JSON, strict, with a version.

Whatever is not understood is refused, by the number and name of its entry: an
unknown field may be a restriction that a newer version put there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from ..shared.problem import Problem
from .keys import MAX_KEYS, Key, Keys, Record, Scope, check_name

VERSION: Final = 1
#: Bytes of a store. `MAX_KEYS` entries of the longest kind have less than half of that.
MAX_BYTES: Final = 1024 * 1024

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
_FIELDS: Final = frozenset(
    {"id", "name", "sha256", "scope", "created", "expires", "revoked", "disconnect"}
)
_SCOPES: Final = [scope.value for scope in Scope]
_ID: Final = re.compile(r"[0-9a-f]{16}")
_TIME_TEXT: Final = re.compile(r"[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}Z")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


class BadKeyFile(Exception):
    """What is wrong with a store's text, and where."""


def time_text(seconds: int) -> str:
    """A time as it is written: RFC 3339, UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def dump(keys: Keys) -> bytes:
    """The text of *keys*."""
    entries = [_entry(record) for record in keys.records]
    return json.dumps({"version": VERSION, "keys": entries}, indent=1).encode() + b"\n"


def load(text: bytes, now: Callable[[], float]) -> Keys:
    """The keys in *text*. Raises `BadKeyFile`."""
    if len(text) > MAX_BYTES:
        raise BadKeyFile(f"it is larger than {MAX_BYTES} bytes")
    try:
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise BadKeyFile(f"it is not valid JSON ({error})") from None
    if not isinstance(content, dict) or "version" not in content:
        raise BadKeyFile('it is not an object with a "version"')
    if content["version"] is True or content["version"] != VERSION:
        raise BadKeyFile("its version is not 1, the one that this hermes-twisted understands")
    entries = content.get("keys")
    if content.keys() != {"version", "keys"} or not isinstance(entries, list):
        raise BadKeyFile('it must have "version" and the list "keys", and nothing else')
    if len(entries) > MAX_KEYS:
        raise BadKeyFile(f"it has more than {MAX_KEYS} keys")
    records = tuple(_record(number, entry) for number, entry in enumerate(entries, 1))
    _check_unique(records)
    return Keys(now, records)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field comes twice in one object")
    return found


def _entry(record: Record) -> dict[str, Any]:
    key = record.key
    return {
        "id": key.id,
        "name": key.name,
        "sha256": key.digest.hex(),
        "scope": key.scope.value,
        "created": time_text(record.created),
        "expires": None if record.expires is None else time_text(record.expires),
        "revoked": None if record.revoked is None else time_text(record.revoked),
        "disconnect": record.disconnect,
    }


def _record(number: int, entry: Any) -> Record:
    where = f"key {number}"
    if not isinstance(entry, dict):
        raise BadKeyFile(f"{where} is not an object")
    name = entry.get("name")
    if not isinstance(name, str):
        raise BadKeyFile(f"{where} has no name")
    try:
        check_name(name)
    except Problem as problem:
        raise BadKeyFile(f"{where}: {problem}") from None
    where += f" ({name})"
    if wrong := _FIELDS.symmetric_difference(entry):
        field = min(wrong)
        what = "is missing" if field in _FIELDS else "is not known here"
        raise BadKeyFile(f"{where}: the field {field[:40]!r} {what}")
    _check(where, "id", _matches(_ID, entry["id"]), "16 hexadecimal digits")
    _check(where, "sha256", _matches(_DIGEST, entry["sha256"]), "64 hexadecimal digits")
    _check(where, "scope", entry["scope"] in _SCOPES, "one of " + ", ".join(_SCOPES))
    _check(where, "disconnect", isinstance(entry["disconnect"], bool), "true or false")
    key = Key(name, bytes.fromhex(entry["sha256"]), Scope(entry["scope"]), id=entry["id"])
    created = _time(where, "created", entry["created"])
    expires, revoked = (
        None if entry[field] is None else _time(where, field, entry[field])
        for field in ("expires", "revoked")
    )
    return Record(key, created, expires, revoked, entry["disconnect"])


def _check(where: str, field: str, is_right: bool, what: str) -> None:
    if not is_right:
        raise BadKeyFile(f"{where}: {field} must be {what}")


def _matches(pattern: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _time(where: str, field: str, value: Any) -> int:
    try:
        # Not `strptime`: it takes most of the time of reading a large store.
        return int(datetime.fromisoformat(value if _matches(_TIME_TEXT, value) else "").timestamp())
    except ValueError:
        raise BadKeyFile(
            f"{where}: {field} must be a time such as 2026-12-31T00:00:00Z"
            + ("" if field == "created" else ", or null")
        ) from None


def _check_unique(records: tuple[Record, ...]) -> None:
    seen: set[tuple[str, Any]] = set()
    for number, record in enumerate(records, 1):
        marks: list[tuple[str, Any]] = [("id", record.key.id), ("sha256", record.key.digest)]
        if record.revoked is None:
            marks.append(("name", record.key.name))
        for field, value in marks:
            if (field, value) in seen:
                raise BadKeyFile(
                    f"key {number} ({record.key.name}) has the {field} of an earlier one"
                )
            seen.add((field, value))
