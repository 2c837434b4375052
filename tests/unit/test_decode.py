from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from hermes_twisted.hermes import decode as module
from hermes_twisted.hermes.decode import LARGE, decode

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

    monkeypatch.setattr(module, "json", type("json", (), {"loads": staticmethod(loads)}))
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

    monkeypatch.setattr(module, "json", type("json", (), {"loads": staticmethod(loads)}))
    thread = threading.Thread(target=decode, args=(b'"1' + b"x" * LARGE + b'"',))
    thread.start()
    assert first_in.wait(GUARD)

    decode(b'"2' + b"x" * LARGE + b'"')
    assert not gc.isenabled()
    second_out.set()
    thread.join(GUARD)

    assert noted == [False, False]
    assert gc.isenabled()
