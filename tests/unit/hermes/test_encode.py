from __future__ import annotations

import datetime
import enum
import json
import sys
from collections import OrderedDict
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes_twisted.hermes import codec

Encode = Callable[[Any], bytes]


def _refuse_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


def strict(text: bytes) -> Any:
    """What a client reads: UTF-8 and RFC 8259, no NaN."""
    return json.loads(text.decode(), parse_constant=_refuse_constant)


@pytest.fixture(params=["orjson", "pydantic_core", "stdlib"])
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The quickest library that Hermes' Python has."""
    name: str = request.param
    for better in {"orjson": [], "pydantic_core": ["orjson"]}.get(
        name, ["orjson", "pydantic_core"]
    ):
        monkeypatch.setitem(sys.modules, better, None)
    fast = codec._find_fast_encode()
    assert (fast is None) == (name == "stdlib")
    monkeypatch.setattr(codec, "_fast_encode", fast)
    return name


@pytest.fixture
def encode(library: str) -> Encode:
    """The encoder, whichever libraries there are."""
    return codec.encode


#: What a library makes of what JSON has no word for, where it has one of its own.
OWN_WORDS: dict[tuple[str, str], Any] = {
    ("pydantic_core", "b'bytes'"): "bytes",
    ("pydantic_core", "{(1, 2): 'x'}"): {"1,2": "x"},
}


class Point(NamedTuple):
    x: int
    y: int


class Word(str):
    pass


class Number(enum.IntEnum):
    ONE = 1


class Thing:
    def __str__(self) -> str:
        return "a thing"


class Pairs(Mapping[str, int]):
    def __getitem__(self, key: str) -> int:
        return 1

    def __iter__(self) -> Any:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({}, b"{}"),
        ({"a": [1, 2.5, None, True, "x"]}, b'{"a":[1,2.5,null,true,"x"]}'),
        ("é ☤ \U0001f600", '"é ☤ \U0001f600"'.encode()),
        ('\x00\n"\\/', b'"\\u0000\\n\\"\\\\/"'),
        (10**30, b"1" + b"0" * 30),
        (-(2**64), b"-18446744073709551616"),
        ((1, (2,)), b"[1,[2]]"),
        (Point(1, 2), b"[1,2]"),
        (OrderedDict(b=1, a=2), b'{"b":1,"a":2}'),
        (Word("x"), b'"x"'),
        (Number.ONE, b"1"),
        ({1: "int"}, b'{"1":"int"}'),
    ],
)
def test_plain_values(encode: Encode, value: Any, text: bytes) -> None:
    """What JSON can hold is compact UTF-8, the same whichever encoder makes it."""
    assert encode(value) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"x": float("nan")}, {"x": None}),
        ([float("inf"), float("-inf"), 1.5], [None, None, 1.5]),
        ("\ud800", "\ud800"),
        ({"\udfff": "é\ud800"}, {"\udfff": "é\ud800"}),
        ({"a": Thing()}, {"a": "a thing"}),
        ({"a": Thing}, {"a": str(Thing)}),
        (b"bytes", "b'bytes'"),
        ({"a": {1}}, {"a": [1]}),
        (frozenset({"x"}), ["x"]),
        (MappingProxyType({"a": 1}), {"a": 1}),
        (Pairs(), {"a": 1}),
        ({(1, 2): "x"}, {"(1, 2)": "x"}),
        (
            {"n": float("nan"), "s": "\ud800", "big": 10**30, 1: Thing()},
            {"n": None, "s": "\ud800", "big": 10**30, "1": "a thing"},
        ),
        ([Point(1, 2), {float("nan")}], [[1, 2], [None]]),
    ],
)
def test_odd_values(encode: Encode, library: str, value: Any, expected: Any) -> None:
    """What JSON or UTF-8 cannot hold is replaced, and the rest of the frame arrives."""
    assert strict(encode(value)) == OWN_WORDS.get((library, repr(value)), expected)


def test_dates_pass(encode: Encode) -> None:
    """A date becomes some text."""
    assert "2026-01-02" in strict(encode([datetime.datetime(2026, 1, 2)]))[0]


@pytest.mark.parametrize("odd", [None, Thing()])
def test_endless_nesting(encode: Encode, odd: Any) -> None:
    """What nests without end is an error that the caller can catch, not a crash."""
    loop: list[Any] = [odd]
    loop.append(loop)
    table: dict[str, Any] = {"odd": odd}
    table["self"] = table

    for value in (loop, table):
        with pytest.raises((RecursionError, ValueError)):
            encode(value)


def test_deep_nesting(encode: Encode) -> None:
    """A value deeper than the libraries go is encoded all the same."""
    value: Any = 1
    for _ in range(400):
        value = [value]

    assert encode(value) == b"[" * 400 + b"1" + b"]" * 400


def test_a_snapshot(encode: Encode) -> None:
    """The text is complete when `encode` returns: later changes do not reach it."""
    value = {"a": [1]}
    text = encode(value)

    value["a"].append(2)

    assert text == b'{"a":[1]}'


def test_the_plain_encoder_stands_alone() -> None:
    """Without a library the same function is used that their failures fall back to."""
    assert codec.encode_plain({"x": [float("nan"), "é"]}) == b'{"x":[null,"\\u00e9"]}'


def with_pydantic(value: Any) -> bytes:
    """What a Hermes sends whose Python has no orjson."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "orjson", None)
        patch.setattr(codec, "_fast_encode", codec._find_fast_encode())
        return codec.encode(value)


any_value = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.text(alphabet=st.characters(categories=["Cs", "Ll"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.sets(st.integers() | st.floats(), max_size=3)
        | st.dictionaries(st.text() | st.integers() | st.floats(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=150)
@given(value=any_value)
def test_always_strict(value: Any) -> None:
    """Whatever Hermes sends, clients read strict JSON, from any encoder."""
    for text in (codec.encode(value), with_pydantic(value), codec.encode_plain(value)):
        strict(text)
        assert b"\n" not in text


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(-1e9, 1e9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150)
@given(value=json_value)
def test_round_trip(value: Any) -> None:
    """What JSON can hold is read back as it was, from any encoder."""
    assert strict(codec.encode(value)) == value
    assert strict(with_pydantic(value)) == value
    assert strict(codec.encode_plain(value)) == value
