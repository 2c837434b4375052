"""How much work something is, counted: the lines of our own code that it runs.

The same on every machine and in every run, so that a test may compare. What C code does
inside one call, such as copying a list, is not seen.
"""

from __future__ import annotations

import itertools
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import hermes_twisted

_OURS = str(Path(hermes_twisted.__file__).parent)
_PLAYS = str(Path(_OURS, "testing.py"))


class Steps:
    """Counts in this thread while `counting`, and in all threads that are started then."""

    def __init__(self) -> None:
        self._numbers = itertools.count()  # Threads may share it.
        self._ours: dict[str, bool] = {}

    @contextmanager
    def counting(self) -> Iterator[None]:
        before = sys.gettrace()
        threading.settrace(self._trace)
        sys.settrace(self._trace)
        try:
            yield
        finally:
            sys.settrace(before)
            threading.settrace(before)

    def of(self, act: Callable[..., object], *arguments: Any) -> int:
        """The lines that a call runs, in whatever thread is counted."""
        before = next(self._numbers)
        act(*arguments)
        return next(self._numbers) - before - 1

    def _trace(self, frame: FrameType, event: str, _argument: Any) -> Any:
        name = frame.f_code.co_filename
        ours = self._ours.get(name)
        if ours is None:
            ours = self._ours[name] = name.startswith(_OURS) and name != _PLAYS
        if not ours:
            return None
        if event == "line":
            next(self._numbers)
        return self._trace
