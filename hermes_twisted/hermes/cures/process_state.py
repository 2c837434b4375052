"""Stdout and the exception hooks, which `tui_gateway.server` replaces when it is imported."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from types import ModuleType
from typing import Final

from .cure import Cure

CURE: Final = Cure(
    name="process_state",
    what="The import of `tui_gateway.server` turns stdout into stderr and replaces both exception "
    "hooks, for the whole process.",
    releases="every release",
    found="not looked for: the import is always guarded. Inside a gateway, where another may have "
    "imported it before, by `_panic_hook`, `_thread_panic_hook` and `_real_stdout`",
    cured="They are restored after the import.",
)


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Restore stdout and both exception hooks at the end of the block."""
    stdout, hook, thread_hook = sys.stdout, sys.excepthook, threading.excepthook
    try:
        yield
    finally:
        sys.stdout, sys.excepthook, threading.excepthook = stdout, hook, thread_hook


def restore(server: ModuleType) -> None:
    """Restore stdout and the exception hooks if other code has imported *server* before."""
    if sys.excepthook is getattr(server, "_panic_hook", None):
        sys.excepthook = sys.__excepthook__
    if threading.excepthook is getattr(server, "_thread_panic_hook", None):
        threading.excepthook = threading.__excepthook__
    stdout = getattr(server, "_real_stdout", None)
    if stdout is not None and sys.stdout is sys.stderr and stdout is not sys.stderr:
        sys.stdout = stdout
