"""A client's JSON text as the objects that Hermes takes."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

#: From this size on, bytes, a text may hold enough lists for the collector to look at
#: all of them again and again: seconds with the interpreter's lock held.
LARGE: Final = 64 * 1024

_lock = threading.Lock()
_holders = 0
_was_enabled = False


def _find_fast_decode() -> Callable[[bytes], Any] | None:
    """Pydantic's reader, in the environment of every Hermes so far."""
    try:
        from pydantic_core import from_json
    except ImportError:
        return None
    fast: Callable[[bytes], Any] = from_json
    return fast


_fast_decode: Final = _find_fast_decode()


def decode(text: bytes) -> Any:
    """What *text* says. Raises `ValueError` or `RecursionError`."""
    if len(text) < LARGE:
        return _read(text)
    with _without_collector():
        return _read(text)


def _read(text: bytes) -> Any:
    if _fast_decode is not None:
        try:
            return _fast_decode(text)
        except ValueError:
            pass  # Lone surrogates, deep nesting: Hermes' own `json` takes more.
    return json.loads(text.decode())


@contextmanager
def _without_collector() -> Iterator[None]:
    """No garbage collection meanwhile, in this thread or any other."""
    global _holders, _was_enabled
    with _lock:
        if not _holders:
            _was_enabled = gc.isenabled()
            gc.disable()
        _holders += 1
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders and _was_enabled:
                gc.enable()
