"""A client's JSON text as the objects that Hermes takes."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

#: From this size on, bytes, a text may hold enough lists for the collector to look at
#: all of them again and again: seconds with the interpreter's lock held.
LARGE: Final = 64 * 1024

_lock = threading.Lock()
_holders = 0
_was_enabled = False


def decode(text: bytes) -> Any:
    """What *text* says. Raises `ValueError` or `RecursionError`."""
    if len(text) < LARGE:
        return json.loads(text.decode())
    with _without_collector():
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
