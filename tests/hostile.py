"""Messages of a client that means no good, or is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from hypothesis import strategies as st

MIB = 1024 * 1024


def _request(params: bytes, method: bytes = b'"session.list"', identity: bytes = b"1") -> bytes:
    return b'{"jsonrpc":"2.0","id":%b,"method":%b,"params":%b}' % (identity, method, params)


def _filled(piece: bytes, size: int) -> bytes:
    return piece * (size // len(piece))


#: By name; made when asked for, some are large.
CORPUS: Final[dict[str, Callable[[], bytes]]] = {
    "depth of 100,000": lambda: _request(b"[" * 100_000 + b"]" * 100_000),
    "depth of 100,000, objects": lambda: _request(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "depth of 500": lambda: _request(b'{"a":' + b"[" * 500 + b"]" * 500 + b"}"),
    "depth of 120": lambda: _request(b'{"a":' + b"[" * 120 + b"]" * 120 + b"}"),
    "depth without end": lambda: b"[" * MIB,
    "deep id": lambda: _request(b"{}", identity=b"[" * 120 + b"]" * 120),
    "deeper id": lambda: _request(b"{}", identity=b"[" * 900 + b"]" * 900),
    "empty lists": lambda: _request(b'{"a":[' + _filled(b"[],", 15 * MIB) + b"[]]}"),
    "a quarter of a million lists": lambda: _request(b'{"a":[' + b"[]," * 262_000 + b"[]]}"),
    "brackets in strings": lambda: _request(b'{"a":[' + _filled(b'"[{",', 4 * MIB) + b'""]}'),
    "empty strings": lambda: _request(b'{"a":[' + _filled(b'"",', 4 * MIB) + b'""]}'),
    "zeros": lambda: _request(b'{"a":[' + _filled(b"0,", 4 * MIB) + b"0]}"),
    "members": lambda: _request(
        b"{" + b",".join(b'"%d":0' % number for number in range(200_000)) + b"}"
    ),
    "one long string": lambda: _request(b'{"a":"' + b"x" * 15 * MIB + b'"}'),
    "escapes": lambda: _request(b'{"a":"' + _filled(b'\\"', 2 * MIB) + b'"}'),
    "white space": lambda: b" " * MIB + _request(b"{}") + b"\n" * MIB,
    "nothing but white space": lambda: b" \t\r\n" * 1000,
    "huge integer": lambda: _request(b'{"n":' + b"9" * 100_000 + b"}"),
    "huge integer as id": lambda: _request(b"{}", identity=b"9" * 4_000),
    "larger integer as id": lambda: _request(b"{}", identity=b"9" * 100_000),
    "huge exponent": lambda: _request(b'{"n":1e999999}', identity=b"1e999999"),
    "NaN": lambda: _request(b'{"n":NaN}'),
    "NaN as id": lambda: _request(b"{}", identity=b"NaN"),
    "Infinity": lambda: _request(b'{"n":-Infinity}'),
    "lone surrogate": lambda: _request(b'{"s":"\\ud800"}'),
    "lone surrogate as id": lambda: _request(b"{}", identity=b'"\\udfff"'),
    "lone surrogate as method": lambda: _request(b"{}", method=b'"\\ud800"'),
    "lone surrogate as a name": lambda: _request(b'{"\\ud800":1}'),
    "NUL": lambda: _request(b'{"s":"\\u0000"}', method=b'"a\\u0000b"', identity=b'"\\u0000"'),
    "raw NUL": lambda: _request(b"{}") + b"\x00",
    "raw NUL in a string": lambda: _request(b'{"s":"\x00"}'),
    "BOM": lambda: b"\xef\xbb\xbf" + _request(b"{}"),
    "BOM inside": lambda: _request(b'{"s":"\xef\xbb\xbf"}'),
    "batch": lambda: b"[" + _request(b"{}") + b"," + _request(b"{}") + b"]",
    "large batch": lambda: b"[" + _filled(_request(b"{}") + b",", MIB) + b"1]",
    "empty batch": lambda: b"[]",
    "long method": lambda: _request(b"{}", method=b'"' + b"m" * 64 * 1024 + b'"'),
    "long method of four-byte characters": lambda: _request(
        b"{}", method=b'"' + "\U0001f4a3".encode() * 16 * 1024 + b'"'
    ),
    "method with quotes": lambda: _request(b"{}", method=b'"a\\"b\\\\c\\u2028"'),
    "method of control characters": lambda: _request(b"{}", method=b'"\\u001b[2J\\u0007"'),
    "method with escapes": lambda: _request(b"{}", method=b'"session\\u002elist"'),
    "duplicate methods": lambda: b'{"id":1,"method":"x","method":"session.list","method":7}',
    "duplicate ids": lambda: b'{"id":1,"id":2,"method":"session.list","id":[3]}',
    "a response that is a request": lambda: b'{"id":1,"method":"session.list","result":1}',
    "a response": lambda: b'{"jsonrpc":"2.0","id":"srq-000000000000","result":{"choice":"once"}}',
    "an error": lambda: b'{"jsonrpc":"2.0","id":null,"error":{"code":1,"message":"x"}}',
    "no method": lambda: b'{"id":1}',
    "empty object": lambda: b"{}",
    "garbage": lambda: b"\x01\x02\x03",
    "half": lambda: _request(b"{}")[:-5],
    "two": lambda: _request(b"{}") * 2,
    "comment": lambda: b"/* */" + _request(b"{}"),
    "single quotes": lambda: b"{'id':1,'method':'session.list'}",
    **{
        f"id {identity!r}": lambda identity=identity: _request(b"{}", identity=identity)  # type: ignore[misc]
        for identity in (b"null", b"true", b"0", b"-0", b"1.0", b'""', b"[]", b"{}", b'{"a":[1]}')
    },
    **{
        f"method {method!r}": lambda method=method: _request(b"{}", method=method)  # type: ignore[misc]
        for method in (b"null", b"true", b"1", b'""', b"[]", b"{}", b'["session.list"]')
    },
    **{
        f"params {params!r}": lambda params=params: _request(params)  # type: ignore[misc]
        for params in (b"null", b"false", b"0", b"7", b'""', b'"x"', b"[]", b"[1]", b"{}")
    },
    **{
        f"limit {value!r}": lambda value=value: _request(b'{"limit":%b}' % value)  # type: ignore[misc]
        for value in (b"-1", b"1e308", b'"x"', b"[]", b"{}", b"99999999999999999999")
    },
}

_METHODS = st.sampled_from(
    ["session.list", "session.title", "config.get", "slash.exec", "shell.run", "echo", "m" * 99, ""]
)
_LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**400), 10**400)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["\ud800", "\x00", "full", "/model", "x" * 5000])
)
VALUES = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=15,
)


def _almost(id_: Any, method: Any, params: Any, more: dict[str, Any], cut: int) -> bytes:
    """A request, or one with *cut* bytes missing in the end."""
    frame = {**more, "jsonrpc": "2.0", "id": id_, "method": method, "params": params}
    text = json.dumps(frame).encode()
    return text[: len(text) - cut] if cut else text


_PARAMS = st.dictionaries(
    st.sampled_from(["session_id", "key", "command", "name", "text", "limit", "title", "value"]),
    VALUES,
    max_size=4,
)
TEXTS: Final = (
    st.binary(max_size=60)
    | VALUES.map(lambda value: json.dumps(value).encode())
    | st.builds(
        _almost,
        VALUES,
        _METHODS | VALUES,
        _PARAMS | VALUES,
        st.dictionaries(st.sampled_from(["result", "error", "x"]), VALUES, max_size=2),
        st.integers(0, 3),
    )
)
