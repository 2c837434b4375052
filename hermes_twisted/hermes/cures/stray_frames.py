"""Frames without a client, which Hermes would print, and so put into the service's log."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any, Final

from .cure import Cure
from .trials import hook_absent, trial_failed

CURE: Final = Cure(
    name="stray_frames",
    what="Frames of a client that is gone are printed to stdout: conversations in the service's "
    "log.",
    releases="every release",
    found="the transport `tui_gateway.server._stdio_transport`, which takes all frames that have "
    "no other",
    cured="They are dropped; questions among them are kept for the session's next client "
    "(`lost_questions`).",
)

#: A frame for the trial in a gateway.
_STRAY: Final = {"jsonrpc": "2.0", "method": "event", "params": {"type": "hermes-attach.trial"}}


class Sink:
    """Stands in for Hermes' transports that lead to no client: drops and counts frames.

    *on_lost* is called with each of them.
    """

    _closed = True

    def __init__(self, on_lost: Callable[[dict[str, Any]], None]) -> None:
        self.dropped = 0
        self._on_lost = on_lost

    def write(self, obj: dict[str, Any]) -> bool:
        """Drop one frame; False tells Hermes that no client is there."""
        self.dropped += 1
        self._on_lost(obj)
        return False

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def drop_strays(
    server: ModuleType, on_lost: Callable[[dict[str, Any]], None], *, keeps_questions: bool
) -> Sink:
    """Replace Hermes' transports that lead nowhere by sinks; return the main one.

    *keeps_questions*: this Hermes repeats its questions itself, so that its transport for
    sessions without a client (from 0.17 on) is left alone.
    """
    sink = Sink(on_lost)
    # All uses look the globals up at call time (hermes-agent 0.13 and later).
    server._stdio_transport = sink  # type: ignore[attr-defined]
    if "_detached_ws_transport" in vars(server) and not keeps_questions:
        server._detached_ws_transport = Sink(on_lost)  # type: ignore[attr-defined]
    return sink


def try_in_gateway(server: ModuleType) -> None:
    """Check that a frame of no client reaches the sink. Raises `Problem`."""
    sink = server._stdio_transport
    write = getattr(server, "write_json", None)
    harm = "frames that belong to no client would be written to stdout"
    if not isinstance(sink, Sink) or not callable(write):
        raise hook_absent("tui_gateway.server.write_json", harm)
    before = sink.dropped
    write(dict(_STRAY))
    if sink.dropped == before:
        raise trial_failed(harm)
