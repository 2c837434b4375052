"""The format of a key store: JSON with a version, parsed strictly.

Anything unknown is refused: an unknown field may be a restriction that a newer version has added. A
`Problem` names the entry, by number and name, and the field. It has no advice: callers add that,
and the file's name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal

import msgspec

from ..shared.problem import Problem
from .keys import MAX_KEYS, Key, Keys, Record, Scope, check_name

VERSION: Final = 1
#: The most bytes of a store. `MAX_KEYS` entries of the greatest length have less than half of that.
MAX_BYTES: Final = 1024 * 1024

_TIME: Final = "%Y-%m-%dT%H:%M:%SZ"
# `\Z`, because `$` also matches before a final line feed.
_Id = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{16}\Z")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
_Time = Annotated[
    str, msgspec.Meta(pattern=r"\A[0-9]{4}(?:-[0-9]{2}){2}T[0-9]{2}(?::[0-9]{2}){2}Z\Z")
]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    """One key as it is stored. Every field is required."""

    id: _Id
    name: str
    sha256: _Digest
    scope: Scope
    created: _Time
    expires: _Time | None
    revoked: _Time | None
    disconnect: bool


class _File(msgspec.Struct, forbid_unknown_fields=True):
    """The whole store; its entries are checked one by one."""

    version: Literal[1]
    keys: list[Any]


#: The expected value of each field, for errors.
_A_TIME: Final = "a time such as 2026-12-31T00:00:00Z"
_EXPECTED: Final = {
    "id": "16 hexadecimal digits",
    "sha256": "64 hexadecimal digits",
    "scope": "one of " + ", ".join(scope.value for scope in Scope),
    "created": _A_TIME,
    "expires": f"{_A_TIME}, or null",
    "revoked": f"{_A_TIME}, or null",
    "disconnect": "true or false",
}
#: The field's name in an error of msgspec.
_PATH: Final = re.compile(r"at `\$\.(\w+)`\Z")


def time_text(seconds: int) -> str:
    """Format a time, in seconds since 1970, as in the store: RFC 3339, UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime(_TIME)


def dump(keys: Keys) -> bytes:
    """Return *keys* in the format of the store."""
    content = _File(VERSION, [_entry(record) for record in keys.records])
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def load(text: bytes, now: Callable[[], float]) -> Keys:
    """Parse the keys of a store; *now* is the clock of the result. Raises `Problem`."""
    if len(text) > MAX_BYTES:
        raise Problem(f"it is larger than {MAX_BYTES} bytes")
    try:
        # msgspec's decoder would accept a field that occurs twice, and use the last.
        content = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise Problem(f"it is not valid JSON ({error})") from None
    if not isinstance(content, dict) or "version" not in content:
        raise Problem('it is not an object with a "version"')
    if type(content["version"]) is not int or content["version"] != VERSION:
        raise Problem("its version is not 1, the one that this hermes-twisted understands")
    try:
        entries = msgspec.convert(content, _File).keys
    except msgspec.ValidationError:
        raise Problem('it must have "version" and the list "keys", and nothing else') from None
    if len(entries) > MAX_KEYS:
        raise Problem(f"it has more than {MAX_KEYS} keys")
    records = tuple(_record(number, entry) for number, entry in enumerate(entries, 1))
    _check_unique(records)
    return Keys(now, records)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. Raises `ValueError` if a field occurs twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a field occurs twice in one object")
    return found


def _entry(record: Record) -> _Entry:
    key = record.key
    return _Entry(
        key.id,
        key.name,
        key.digest.hex(),
        key.scope,
        time_text(record.created),
        None if record.expires is None else time_text(record.expires),
        None if record.revoked is None else time_text(record.revoked),
        record.disconnect,
    )


def _record(number: int, content: Any) -> Record:
    """Parse entry *number*, counted from 1. Raises `Problem`."""
    try:
        entry = msgspec.convert(content, _Entry)
        check_name(entry.name)
        key = Key(entry.name, bytes.fromhex(entry.sha256), entry.scope, id=entry.id)
        return Record(
            key,
            _seconds("created", entry.created),
            None if entry.expires is None else _seconds("expires", entry.expires),
            None if entry.revoked is None else _seconds("revoked", entry.revoked),
            entry.disconnect,
        )
    except (msgspec.ValidationError, Problem) as error:
        raise _explained(number, content, error) from None


def _seconds(field: str, text: str) -> int:
    try:
        # `strptime` would take most of the time of reading a large store.
        return int(datetime.fromisoformat(text).timestamp())
    except ValueError:  # No such day or hour exists.
        raise _unexpected(field) from None


def _unexpected(field: str) -> Problem:
    return Problem(f"{field} must be {_EXPECTED[field]}")


def _explained(number: int, content: Any, error: Exception) -> Problem:
    """Return the problem of an entry, by its number and, if that is valid, its name."""
    where = f"key {number}"
    if not isinstance(content, dict):
        return Problem(f"{where} is not an object")
    name = content.get("name")
    if not isinstance(name, str):
        return Problem(f"{where} has no name")
    try:
        check_name(name)
    except Problem as problem:
        return Problem(f"{where}: {problem.what.removesuffix('.')}")
    where += f" ({name})"
    known = set(_Entry.__struct_fields__)
    if wrong := known.symmetric_difference(content):
        field = min(wrong)
        what = "is missing" if field in known else "is not known here"
        return Problem(f"{where}: the field {field[:40]!r} {what}")
    if isinstance(error, msgspec.ValidationError) and (path := _PATH.search(str(error))):
        error = _unexpected(path[1])
    return Problem(f"{where}: {error}")


def _check_unique(records: tuple[Record, ...]) -> None:
    """Check that ids, hashes, and names of unrevoked keys are unique. Raises `Problem`."""
    seen: set[tuple[str, Any]] = set()
    for number, record in enumerate(records, 1):
        marks: list[tuple[str, Any]] = [("id", record.key.id), ("sha256", record.key.digest)]
        if record.revoked is None:
            marks.append(("name", record.key.name))
        for field, value in marks:
            if (field, value) in seen:
                raise Problem(f"key {number} ({record.key.name}) has the {field} of an earlier one")
            seen.add((field, value))
