"""Hermes' objects as JSON text that every client can read."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any, Final

# Built once: `json.dumps` with options builds an encoder per call.
_plain: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, separators=(",", ":"), check_circular=False
).encode
_ascii: Final = json.JSONEncoder(
    ensure_ascii=True, allow_nan=False, separators=(",", ":"), check_circular=False
).encode


def _find_fast_encode() -> Callable[[Any], bytes] | None:
    """The quickest of the libraries that Hermes' Python has: pydantic's it always has."""
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
    """UTF-8 JSON text of *value*, complete before this returns.

    What JSON or UTF-8 cannot hold is replaced, never passed on: NaN and the
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
    """The same with the standard library alone."""
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
