"""The cures that serving terminals inside a gateway needs, applied and tried.

Hermes' terminal side was made for a process of its own. Each cure looks for the hooks that
it needs, is applied, and is tried at once. Where one is missing or has no effect, Hermes
cannot be served in this process, but can be beside it. Applying one again changes nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import ModuleType
from typing import Final

from ..loading import check_config, import_server, look
from . import background_results, interactive_flag, process_state, stray_frames
from .lost_questions import Questions
from .trials import hook_absent

#: Applies one cure to `tui_gateway.server` and tries it. Raises `Problem`.
ApplyCure = Callable[[ModuleType], None]

#: Hooks of the releases that a gateway can be served with (0.16 and later).
_POLLER_HOOKS: Final = ("_notification_event_belongs_elsewhere", "_notification_poller_loop")


def gateway_cures(gateway_thread: int) -> tuple[ApplyCure, ...]:
    """Return the cures for a gateway whose loop runs in the thread *gateway_thread*."""

    def is_gateway() -> bool:
        return threading.get_ident() == gateway_thread

    return (
        process_state.restore,
        stray_frames.try_in_gateway,
        interactive_flag.leave_unset,
        lambda server: background_results.keep_apart(server, is_gateway),
    )


def check_gateway(cures: tuple[ApplyCure, ...]) -> None:
    """Load Hermes' terminal side and try all *cures*, before clients are admitted. Blocks.

    Raises `Problem`, whose advice is to serve beside the gateway.
    """
    check_config()
    server = import_server()
    look(server)
    for name in _POLLER_HOOKS:
        if not callable(getattr(server, name, None)):
            raise hook_absent(
                f"tui_gateway.server.{name}", "chats would lose their background results"
            )
    if not isinstance(server._stdio_transport, stray_frames.Sink):
        questions = Questions(server)
        server._stdio_transport = stray_frames.Sink(questions.lost)  # type: ignore[attr-defined]
    for apply in cures:
        apply(server)
