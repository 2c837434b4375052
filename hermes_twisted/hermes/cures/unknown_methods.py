"""Quiet answers to what newer UIs ask all the time and older releases do not know.

Without them the UI prints "unknown method" every few seconds. Only what is polled
stands here: an answer to a command of the user's would hide that it does nothing.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

#: Method, and the answer of a release that knows it but has nothing of the kind.
QUIET: Final[dict[str, dict[str, Any]]] = {
    "pet.cells": {"enabled": False},  # UIs from 0.18, every 2.5 s
    "session.active_list": {"sessions": []},  # UIs from 0.15, every 1.5 s and in the picker
}


def answered_here(methods: Container[str]) -> tuple[str, ...]:
    """What is answered in the place of a Hermes that has these *methods*."""
    return tuple(name for name in QUIET if name not in methods)
