from __future__ import annotations

import gc
import json
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hermes_twisted.hermes import codec
from hermes_twisted.hermes.codec import LARGE, decode

GUARD = 60.0


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """The collector is on before and after."""
    gc.enable()
    yield
    assert gc.isenabled()


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether the collector was on, for each text."""
    noted: list[bool] = []

    def loads(text: str) -> Any:
        noted.append(gc.isenabled())
        return json.loads(text)

    monkeypatch.setattr(codec, "_fast_decode", None)
    monkeypatch.setattr(codec, "json", type("json", (), {"loads": staticmethod(loads)}))
    return noted


def test_small_texts_are_not_special(seen: list[bool]) -> None:
    """An everyday frame costs no fuss about the collector."""
    assert decode(b'{"a":1}') == {"a": 1}
    assert seen == [True]


def test_large_texts_are_not_collected(seen: list[bool]) -> None:
    """While a large text is taken apart nothing is collected; afterwards all is as before."""
    text = b"[" + b"[]," * LARGE + b"[]]"

    assert len(decode(text)) == LARGE + 1
    assert seen == [False]
    assert gc.isenabled()


def test_no_list_of_a_bomb_is_collected() -> None:
    """In truth, too: hundreds of thousands of lists are made without hundreds of collections."""
    text = b"[" + b"[]," * 300_000 + b"[]]"
    gc.collect()
    before = [generation["collections"] for generation in gc.get_stats()]

    value = decode(text)

    after = [generation["collections"] for generation in gc.get_stats()]
    assert after[1:] == before[1:]
    assert after[0] - before[0] <= 2  # One is due as soon as the collector is on again.
    assert len(value) == 300_001


@pytest.mark.parametrize("text", [b"[" * LARGE, b"x" * LARGE, b"\xff" * LARGE])
def test_the_collector_comes_back_after_an_error(text: bytes) -> None:
    """A text that is no JSON leaves the collector on."""
    with pytest.raises((ValueError, RecursionError)):
        decode(text)
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(seen: list[bool]) -> None:
    """Who runs without a collector is not given one."""
    gc.disable()
    decode(b'"' + b"x" * LARGE + b'"')

    assert not gc.isenabled()
    gc.enable()


def test_two_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """The collector comes back with the last of several, not with the first."""
    first_in, second_out = threading.Event(), threading.Event()
    noted: list[bool] = []

    def loads(text: str) -> Any:
        if text.startswith('"1'):
            first_in.set()
            assert second_out.wait(GUARD)
        noted.append(gc.isenabled())
        return None

    monkeypatch.setattr(codec, "_fast_decode", None)
    monkeypatch.setattr(codec, "json", type("json", (), {"loads": staticmethod(loads)}))
    thread = threading.Thread(target=decode, args=(b'"1' + b"x" * LARGE + b'"',))
    thread.start()
    assert first_in.wait(GUARD)

    decode(b'"2' + b"x" * LARGE + b'"')
    assert not gc.isenabled()
    second_out.set()
    thread.join(GUARD)

    assert noted == [False, False]
    assert gc.isenabled()


def both(text: bytes) -> list[Any]:
    """What *text* is with the library and without."""
    fast = codec._find_fast_decode()
    assert fast is not None
    found = []
    for library in (fast, None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codec, "_fast_decode", library)
            found.append(decode(text))
    return found


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a":1,"a":2}', {"a": 2}),
        (b"1" + b"0" * 40, 10**40),
        (b'"\\ud800"', "\ud800"),
        (b"[" * 400 + b"]" * 400, None),
        (b'{"a":-0,"b":1E5,"c":0.1}', {"a": 0, "b": 100000.0, "c": 0.1}),
    ],
)
def test_the_library_reads_what_json_reads(text: bytes, value: Any) -> None:
    """Hermes gets the same objects, whatever reads them: also where the library gives up."""
    fast, plain = both(text)

    assert fast == plain
    assert value is None or repr(fast) == repr(value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=10,
    ),
    st.booleans(),
)
def test_whatever_json_writes(value: Any, ascii_only: bool) -> None:
    """Values, and the types of numbers, come out as they went in."""
    fast, plain = both(json.dumps(value, ensure_ascii=ascii_only).encode())

    assert repr(fast) == repr(plain) == repr(value)


@pytest.mark.parametrize("text", [b"", b"{", b'{"a":"\x01"}', b"01", b"\xff"])
def test_what_is_not_json(text: bytes) -> None:
    """Is an error of the documented kind, from either reader."""
    for fast in (codec._find_fast_decode(), None):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(codec, "_fast_decode", fast)
            with pytest.raises(ValueError):
                decode(text)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Hermes without pydantic is served as well."""
    monkeypatch.setitem(sys.modules, "pydantic_core", None)

    assert codec._find_fast_decode() is None
