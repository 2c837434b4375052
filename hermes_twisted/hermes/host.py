"""The host of `tui_gateway`: what a transport has to do for Hermes, in one place."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any, Final

from ..core.lanes import LanePool
from ..core.outbox import Outbox
from .encode import encode
from .loading import Findings, check_config, import_server, look
from .seat import HostSeat

_log = logging.getLogger(__name__)

#: Said to a client whose live text was thinned out (see `Outbox`).
SLOW_CLIENT_NOTICE: Final = (
    "This connection is slower than the reply: parts of the live text are left out. "
    "The whole text follows when the reply is complete."
)
#: How often a drain looks whether a turn still runs, in seconds.
DRAIN_POLL: Final = 0.1

#: Changes what Hermes' terminal side would do to a process that is not its own. Raises
#: `HostProblem` where it cannot.
Cure = Callable[[ModuleType], None]


class Sink:
    """Stands in for Hermes' stdio transport: drops frames that belong to nobody.

    The original would print conversation text to the service's log.
    """

    _closed = True

    def __init__(self) -> None:
        self.dropped = 0

    def write(self, obj: dict[str, Any]) -> bool:
        """Drop one frame; False says that nobody is there."""
        self.dropped += 1
        return False

    def close(self) -> None:
        """Nothing to release."""


@dataclass
class Host:
    """Hermes' `tui_gateway.server`, loaded and made safe to serve from."""

    server: ModuleType
    findings: Findings
    lanes: LanePool
    sink: Sink
    _seats: set[HostSeat] = field(default_factory=set, init=False)
    _mcp_started: bool = field(default=False, init=False)
    _first_seat_seen: bool = field(default=False, init=False)

    @classmethod
    def load(cls, lanes: LanePool, cures: Sequence[Cure] = ()) -> Host:
        """Import Hermes, cure what the import does to the process, look at what it offers.

        Takes up to half a second and starts threads, so: after any fork, and off
        the event loop. Raises `HostProblem`.
        """
        check_config()
        server = import_server()
        findings = look(server)
        sink = Sink()
        # All uses look the global up at call time (hermes-agent 0.13 and later).
        server._stdio_transport = sink  # type: ignore[attr-defined]
        for cure in cures:
            cure(server)
        return cls(server, findings, lanes, sink)

    def open(self, outbox: Outbox) -> HostSeat:
        """A client has come; `gateway.ready` follows."""
        seat = HostSeat(self, outbox)
        self._seats.add(seat)
        seat.welcome()
        return seat

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        """Hermes' dispatcher; None means that the answer comes through `seat.write`."""
        response: dict[str, Any] | None = self.server.dispatch(request, seat)
        return response

    def greet(self, seat: HostSeat) -> None:
        """What `tui_gateway.ws.handle_ws` does when a socket opens, and its ready frame."""
        self._start_mcp_discovery()
        try:
            skin = self.server.resolve_skin()
        except Exception:
            _log.exception("resolve_skin failed; the client gets its default look")
            skin = {}
        params = {"type": "gateway.ready", "payload": {"skin": skin}}
        seat.write({"jsonrpc": "2.0", "method": "event", "params": params})
        self._call_hook("register_live_transport", seat)
        if not self._first_seat_seen:
            self._first_seat_seen = True
            self._call_hook("_ensure_skin_watcher")
            self._call_hook("_start_backend_heartbeat_refresher")
            self._call_hook("_schedule_startup_orphan_sweep")

    def release(self, seat: HostSeat) -> None:
        """What `handle_ws` does when a socket has closed, as this release does it. Blocks."""
        self._seats.discard(seat)
        self._call_hook("unregister_live_transport", seat)
        if "_close_sessions_for_transport" in self.findings.hooks:
            self._call_hook("_close_sessions_for_transport", seat, end_reason="ws_disconnect")
            return
        for sid, session in list(self.server._sessions.items()):
            if session.get("transport") is seat:
                session["transport"] = self.sink
                self._call_hook("_schedule_ws_orphan_reap", sid)

    def drain(self, timeout: float) -> bool:
        """Wait until nothing runs and all that was written has gone out.

        Requests in lanes and in Hermes' own pool, turns, and frames that wait in the
        outboxes. False if *timeout* seconds were not enough.
        """
        deadline = time.monotonic() + timeout
        while self.lanes.wait_quiet(max(0.0, deadline - time.monotonic())):
            if not self._turn_runs() and not any(seat.owes for seat in tuple(self._seats)):
                return True
            if time.monotonic() >= deadline:
                break
            time.sleep(DRAIN_POLL)
        return False

    def _turn_runs(self) -> bool:
        return any(session.get("running") for session in list(self.server._sessions.values()))

    def shutdown(self, timeout: float) -> bool:
        """Finalise all sessions; False if that took longer than *timeout* seconds."""
        if "_shutdown_sessions" not in self.findings.hooks:
            return True
        done = threading.Event()

        def finalise() -> None:
            self._call_hook("_shutdown_sessions")
            done.set()

        threading.Thread(target=finalise, name="hermes-shutdown", daemon=True).start()
        return done.wait(timeout)

    def _call_hook(self, name: str, *args: Any, **kwargs: Any) -> None:
        if name not in self.findings.hooks:
            return
        try:
            getattr(self.server, name)(*args, **kwargs)
        except Exception:
            _log.exception("Hermes' %s failed", name)

    def _start_mcp_discovery(self) -> None:
        if self._mcp_started or not self.findings.mcp_discovery:
            return
        self._mcp_started = True
        try:
            startup = importlib.import_module("hermes_cli.mcp_startup")
            startup.start_background_mcp_discovery(
                logger=_log, thread_name="hermes-attach-mcp-discovery"
            )
        except Exception:
            _log.exception("MCP discovery could not be started; its tools are missing")


def explain_shedding() -> bytes:
    """The frame that tells a slow client what was left out."""
    params = {"type": "browser.progress", "payload": {"message": SLOW_CLIENT_NOTICE}}
    return encode({"jsonrpc": "2.0", "method": "event", "params": params})
