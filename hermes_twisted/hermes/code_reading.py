"""Recognise what a function of Hermes does by the names and strings in its code."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from types import CodeType
from typing import Any


def names_in(function: Any) -> frozenset[str]:
    """Return all global and attribute names and string constants in a function's code.

    A decorated function is unwrapped. Of anything without Python code the set is empty.
    """
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return frozenset(_names(code)) if isinstance(code, CodeType) else frozenset()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
        elif isinstance(constant, tuple):
            yield from (item for item in constant if isinstance(item, str))
        elif isinstance(constant, str):
            yield constant
