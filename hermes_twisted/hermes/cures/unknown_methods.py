"""Methods that newer terminal UIs poll and older releases of Hermes do not know.

Only polled methods are listed: an answer to a user's command would hide that it does nothing.
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any, Final

from .cure import Cure

CURE: Final = Cure(
    name="unknown_methods",
    what="Newer UIs poll `pet.cells` and `session.active_list` every few seconds and print "
    "`unknown method` each time.",
    releases="those that do not know them: `session.active_list` before 0.15, `pet.cells` "
    "before 0.18",
    found="the method is not in `tui_gateway.server._methods`",
    cured="They are answered as a release does that has nothing of the kind.",
)

#: Method, and the answer of a release that knows it but has nothing of the kind.
QUIET: Final[dict[str, dict[str, Any]]] = {
    "pet.cells": {"enabled": False},  # UIs from 0.18, every 2.5 s
    "session.active_list": {"sessions": []},  # UIs from 0.15, every 1.5 s and in the picker
}


def answered_here(methods: Container[str]) -> tuple[str, ...]:
    """Return the methods that are answered in place of a Hermes that has these *methods*."""
    return tuple(name for name in QUIET if name not in methods)
