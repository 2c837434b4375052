"""`HERMES_INTERACTIVE`, which a terminal session sets for the whole process."""

from __future__ import annotations

import os
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Final

from .cure import Cure
from .trials import hook_absent, trial_failed

CURE: Final = Cure(
    name="interactive_flag",
    what="Inside a gateway the first terminal session sets `HERMES_INTERACTIVE` for all: a skill "
    "used in a chat asks its secret of the terminal that attached last, and the chat hangs for "
    "minutes.",
    releases="every release",
    found="`tui_gateway.server._enable_gateway_prompts`, run once on an environment of its own",
    cured="The flag stays as it was; approvals do not need it.",
)

#: Tells Hermes' tools that a person sits at this process: true of a terminal's worker,
#: false of a gateway.
INTERACTIVE: Final = "HERMES_INTERACTIVE"


def leave_unset(server: ModuleType) -> None:
    """Let a terminal session set all flags but `INTERACTIVE`. Raises `Problem`."""
    original: Any = getattr(server, "_enable_gateway_prompts", None)
    harm = "a chat's prompt for a secret would appear on a terminal"
    if not isinstance(original, FunctionType):
        raise hook_absent("tui_gateway.server._enable_gateway_prompts", harm)
    if not getattr(original, "is_cured", False):
        server._enable_gateway_prompts = _without_interactive(server, original)  # type: ignore[attr-defined]
    before = os.environ.get(INTERACTIVE)
    server._enable_gateway_prompts()
    if os.environ.get(INTERACTIVE) != before:
        raise trial_failed(harm)


def _without_interactive(server: ModuleType, original: FunctionType) -> Callable[[], None]:
    """Return a function that sets the same flags. *original* runs once, where no chat sees it."""
    flags: dict[str, str] = {}
    scope = {**vars(server), "os": SimpleNamespace(environ=flags)}
    try:
        FunctionType(original.__code__, scope)()
    except Exception as error:
        raise trial_failed(
            f"{original.__name__} does more than set flags ({type(error).__name__})"
        ) from None
    flags.pop(INTERACTIVE, None)

    def enable() -> None:
        os.environ.update(flags)

    enable.is_cured = True  # type: ignore[attr-defined]
    return enable
