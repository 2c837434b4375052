"""What serving terminals inside a gateway would harm there, and the cure of each.

A cure is found by the hook that it needs, applied, and tried at once; where that is not
possible Hermes cannot be served in this process, and `twistd hermes-attach` can.
Applying one again changes nothing.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Callable
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, Final

from ...shared.problem import Problem
from ..host import Cure, Sink
from ..loading import check_config, import_server, look
from .background_results import METHODS, SplitResults, split_results
from .lost_questions import Questions

#: Tells Hermes' tools that a person sits at this process: true of a terminal's worker,
#: false of a gateway, whose chats would be answered from somebody's terminal.
INTERACTIVE: Final = "HERMES_INTERACTIVE"
ADVICE: Final = (
    "Serve terminals beside this gateway instead, with `hermes-attach serve` or "
    "`twistd hermes-attach`: there Hermes' terminal side runs in a process of its own."
)
#: A chat's session key and an event that is nobody's work, for the trials.
_CHAT: Final = {"type": "hermes-attach-trial", "session_key": "agent:trial"}
_STRAY: Final = {"jsonrpc": "2.0", "method": "event", "params": {"type": "hermes-attach.trial"}}


def gateway_cures(gateway_thread: int) -> tuple[Cure, ...]:
    """The cures for a gateway whose loop runs in the thread *gateway_thread*."""

    def is_gateway() -> bool:
        return threading.get_ident() == gateway_thread

    return (
        restore_process,
        drop_strays,
        leave_chats_uninteractive,
        lambda server: keep_results_apart(server, is_gateway),
    )


def check_gateway(cures: tuple[Cure, ...]) -> None:
    """Load Hermes' terminal side and try all cures, before anybody is let in. Blocks.

    Raises `Problem`, whose advice is to serve beside the gateway.
    """
    check_config()
    server = import_server()
    look(server)
    for name in ("_notification_event_belongs_elsewhere", "_notification_poller_loop"):
        if not callable(getattr(server, name, None)):
            raise _absent(f"tui_gateway.server.{name}", "whose a background result is")
    if not isinstance(server._stdio_transport, Sink):
        server._stdio_transport = Sink(Questions(server))  # type: ignore[attr-defined]
    for cure in cures:
        cure(server)


def restore_process(server: ModuleType) -> None:
    """Give back stdout and the exception hooks, if the import was somebody else's."""
    if sys.excepthook is getattr(server, "_panic_hook", None):
        sys.excepthook = sys.__excepthook__
    if threading.excepthook is getattr(server, "_thread_panic_hook", None):
        threading.excepthook = threading.__excepthook__
    stdout = getattr(server, "_real_stdout", None)
    if stdout is not None and sys.stdout is sys.stderr and stdout is not sys.stderr:
        sys.stdout = stdout


def drop_strays(server: ModuleType) -> None:
    """Frames that belong to no client do not reach the service's log (see `Sink`)."""
    sink = server._stdio_transport
    write = getattr(server, "write_json", None)
    if not isinstance(sink, Sink) or not callable(write):
        raise _absent("tui_gateway.server.write_json", "where a frame goes that is nobody's")
    before = sink.dropped
    write(dict(_STRAY))
    if sink.dropped == before:
        raise _ineffective("frames that belong to no client would be written to stdout")


def leave_chats_uninteractive(server: ModuleType) -> None:
    """A terminal session's start sets flags for the process: all but `INTERACTIVE`."""
    original: Any = getattr(server, "_enable_gateway_prompts", None)
    if not isinstance(original, FunctionType):
        raise _absent("tui_gateway.server._enable_gateway_prompts", "where prompts are asked")
    if not getattr(original, "is_cured", False):
        server._enable_gateway_prompts = _without_interactive(server, original)  # type: ignore[attr-defined]
    before = os.environ.get(INTERACTIVE)
    server._enable_gateway_prompts()
    if os.environ.get(INTERACTIVE) != before:
        raise _ineffective("a chat's prompt for a secret would appear on a terminal")


def _without_interactive(server: ModuleType, original: FunctionType) -> Callable[[], None]:
    # Run once on an environment of its own: what it would set, for no chat to see.
    flags: dict[str, str] = {}
    scope = {**vars(server), "os": SimpleNamespace(environ=flags)}
    try:
        FunctionType(original.__code__, scope)()
    except Exception as error:
        raise _ineffective(
            f"{original.__name__} does more than to set flags ({type(error).__name__})"
        ) from None
    flags.pop(INTERACTIVE, None)

    def enable() -> None:
        os.environ.update(flags)

    enable.is_cured = True  # type: ignore[attr-defined]
    return enable


def keep_results_apart(server: ModuleType, is_gateway: Callable[[], bool]) -> None:
    """Chats get their background results, and terminals theirs (see `SplitResults`)."""
    try:
        registry = importlib.import_module("tools.process_registry").process_registry
    except (ImportError, AttributeError):
        raise _absent("tools.process_registry", "where background results wait") from None
    poller: Any = getattr(server, "_notification_poller_loop", None)
    names = getattr(getattr(poller, "__code__", None), "co_names", ())
    former = getattr(registry, "completion_queue", None)
    missing = [name for name in METHODS if not callable(getattr(former, name, None))]
    if missing or "completion_queue" not in names:
        raise _absent("the queue of background results", "how terminal sessions read it")
    split_results(server, registry, is_gateway)
    trial = SplitResults(server._sessions, lambda: False)
    trial.put(dict(_CHAT))
    if not trial.empty() or not isinstance(registry.completion_queue, SplitResults):
        raise _ineffective("a terminal session would take the background results of chats")


def _absent(hook: str, purpose: str) -> Problem:
    return Problem(
        f"This release of Hermes has no {hook}, or another one than is known: it cannot be "
        f"told there {purpose}, and chats would be harmed.",
        ADVICE,
    )


def _ineffective(harm: str) -> Problem:
    return Problem(f"A protection of this gateway's chats did not work: {harm}.", ADVICE)
