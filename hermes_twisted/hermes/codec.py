"""Decode clients' JSON texts for Hermes, and encode Hermes' objects as JSON."""

from __future__ import annotations

import functools
import gc
import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

#: From this size in bytes on, a text may contain so many lists that the collector, which
#: looks at all of them again and again, would stop all threads for seconds.
LARGE: Final = 64 * 1024

_lock = threading.Lock()
_blocks = 0
_was_enabled = False


def _find_fast_decode() -> Callable[[bytes], Any] | None:
    """Return pydantic's reader, which the environment of every Hermes so far has."""
    try:
        from pydantic_core import from_json
    except ImportError:
        return None
    fast: Callable[[bytes], Any] = from_json
    return fast


_fast_decode: Final = _find_fast_decode()


def decode(text: bytes) -> Any:
    """Return the value of a JSON *text*. Raises `ValueError` or `RecursionError`."""
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
    """Suspend garbage collection, in all threads, until the last such block ends."""
    global _blocks, _was_enabled
    with _lock:
        if not _blocks:
            _was_enabled = gc.isenabled()
            gc.disable()
        _blocks += 1
    try:
        yield
    finally:
        with _lock:
            _blocks -= 1
            if not _blocks and _was_enabled:
                gc.enable()


# Built once: `json.dumps` with options builds an encoder per call.
_plain: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode
_ascii: Final = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


def _find_fast_encode() -> Callable[[Any], bytes] | None:
    """Return the fastest encoder that Hermes' Python has; pydantic's it always has."""
    try:
        import orjson
    except ImportError:
        pass
    else:
        dumps: Callable[[Any], bytes] = orjson.dumps
        return dumps
    try:
        import pydantic_core
    except ImportError:
        return None
    return functools.partial(pydantic_core.to_json, inf_nan_mode="null")


_fast_encode: Final = _find_fast_encode()


def encode(value: Any) -> bytes:
    """Return *value* as UTF-8 JSON text, complete before this returns.

    What JSON or UTF-8 cannot express is replaced: NaN and the
    infinities become null, lone surrogates an escape, unknown objects their `str`, or
    what the library that is used makes of them.
    Raises `RecursionError` or `ValueError` for what nests without end.
    """
    if _fast_encode is not None:
        try:
            return _fast_encode(value)
        except (TypeError, ValueError):
            pass  # Large integers, odd keys, lone surrogates: as below.
    return encode_plain(value)


def encode_plain(value: Any) -> bytes:
    """Return *value* as `encode` does, with the standard library alone."""
    try:
        return _plain(value).encode()
    except UnicodeEncodeError:
        return _ascii(value).encode()
    except (TypeError, ValueError):
        return _ascii(_json_like(value)).encode()


def _json_like(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _json_like(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_json_like(item) for item in value]
    return str(value)
