"""The host of `tui_gateway`: does for Hermes what Hermes' own transports do.

It opens and closes seats, dispatches requests through the cures, drains Hermes and shuts it
down. Nothing here runs on an event loop.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, Final

from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.schema import Findings, SavedSession
from ..shared.settlements import Settlements
from .codec import encode
from .cures.activation_without_events import Activation
from .cures.late_turn_end import EndedTurns
from .cures.lost_questions import Questions
from .cures.resume_by_live_id import StoredKeys
from .cures.second_agent import TakeOver
from .cures.stray_frames import drop_strays
from .cures.unknown_methods import QUIET
from .loading import check_config, import_server, look, replay_epoch
from .methods import ACTIVATE, PROMPT, RESUME, Request, Response
from .requests import MethodTraits
from .restore import restore_all
from .seat import HostSeat
from .transport import Transport

_log = logging.getLogger(__name__)

#: The notice to a client for whom deltas were shed.
SLOW_CLIENT_NOTICE: Final = (
    "This connection is slower than the reply: parts of the live text are left out. "
    "The whole text follows when the reply is complete."
)
#: Seconds between two checks of a drain whether turns still run.
DRAIN_POLL: Final = 0.1
#: One client's requests may occupy one in so many threads of Hermes' pool at once.
POOL_PARTS: Final = 4


class Host:
    """Serves clients from Hermes' `tui_gateway.server`, with the cures that its release needs."""

    def __init__(self, server: ModuleType, findings: Findings, lanes: LanePool) -> None:
        """*findings* is what `look` has found of *server*."""
        self.server = server
        self.findings = findings
        self.lanes = lanes
        self.questions = Questions(server)
        self.sink = drop_strays(server, self.questions.lost, keeps_questions=findings.hands_over)
        self.stored_keys = StoredKeys(server)
        # Up to 0.16 the transport itself says where a session's events go (see `_release`).
        binds = "_close_sessions_for_transport" not in findings.hooks
        self._activation = Activation(server, needed=binds)
        self._take_over = TakeOver(server, needed=findings.takes_over)
        self._ended_turns = EndedTurns(server)
        self._traits = MethodTraits(
            pooled=frozenset(getattr(server, "_LONG_HANDLERS", ())),
            follow_ups=dict.fromkeys((RESUME, ACTIVATE), self.questions.to_repeat),
        )
        self._seats: set[HostSeat] = set()
        self._mcp_started = False
        self._first_seat_seen = False

    @classmethod
    def load(cls, lanes: LanePool, cures: Sequence[Callable[[ModuleType], None]] = ()) -> Host:
        """Import Hermes, look at what it offers, and apply more *cures* (`cures.gateway`).

        Takes up to half a second and starts threads: call it after any fork, and off the
        event loop. Raises `Problem`.
        """
        check_config()
        server = import_server()
        host = cls(server, look(server), lanes)
        for apply in cures:
            apply(server)
        return host

    def open(
        self,
        outbox: Outbox,
        settlements: Settlements,
        saved: Sequence[SavedSession] = (),
        *,
        notes: bool = False,
    ) -> HostSeat:
        """Open a seat for a new client; Hermes' frames for it come to *outbox*.

        The first is `gateway.ready`, unless the *saved* sessions can be restored instead.
        *notes*: report the client's sessions to the front, in the outbox.
        """
        seat = HostSeat(
            outbox,
            settlements,
            self.lanes,
            dispatch=self.dispatch,
            traits=self._traits,
            pool_share=max(1, self.findings.pool // POOL_PARTS),
            sessions_of=self._sessions_of,
            on_event=self._notice_event,
            on_lost=self.questions.lost,
            notes=notes,
        )
        self._seats.add(seat)
        seat.run_first(lambda: self._greet(seat, saved))
        return seat

    def close(self, seat: HostSeat) -> None:
        """End a seat: its client is gone. Hermes is notified in a thread. Never blocks."""
        seat.end(lambda: self._release(seat))

    def dispatch(self, request: Any, transport: Transport) -> Response | None:
        """Run one request; None means that Hermes writes the answer to *transport*."""
        response: Response | None
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str):
            response = self.server.dispatch(request, transport)
            return response
        if method in self.findings.answered_here:
            return {"jsonrpc": "2.0", "id": request.get("id"), "result": QUIET[method]}
        params = request.get("params")
        live_id = params.get("session_id") if isinstance(params, dict) else None
        if isinstance(live_id, str) and live_id:
            self.stored_keys.remember(live_id)
            if method == PROMPT:
                self._take_over.prompted(live_id, params.get("text"))
                self._ended_turns.wait(live_id)
            elif method == RESUME:
                return self._resume(request, transport)
            elif method == ACTIVATE:
                return self._activate(request, transport)
        response = self.server.dispatch(request, transport)
        return response

    def _resume(self, request: Request, transport: Transport) -> Response | None:
        response: Response | None = None
        try:
            response = self._take_over.answer(request, transport)
            if response is None:
                request = self.stored_keys.translate(request)
        except Exception:
            _log.exception("a cure of session.resume failed; Hermes gets the request as it is")
        if response is not None:
            return response
        if request["method"] == ACTIVATE:
            return self._activate(request, transport)
        response = self.server.dispatch(request, transport)
        return response

    def _activate(self, request: Request, transport: Transport) -> Response | None:
        response: Response | None = self.server.dispatch(request, transport)
        self._activation.bind(response, transport)
        return response

    def _notice_event(self, params: dict[str, Any], text: bytes) -> None:
        """Report an event for a client to the cures that follow events."""
        self.questions.notice(params, text)
        self._ended_turns.notice(params)

    def _sessions_of(self, transport: Transport) -> list[tuple[str, dict[str, Any]]]:
        """Return Hermes' sessions whose events go to *transport*, by live id."""
        return [
            (live_id, session)
            for live_id, session in list(self.server._sessions.items())
            if session.get("transport") is transport
        ]

    def _greet(self, seat: HostSeat, saved: Sequence[SavedSession]) -> None:
        """Do what `tui_gateway.ws.handle_ws` does when a socket opens.

        A client whose saved sessions are restored gets no `gateway.ready`: it would make the
        client start over.
        """
        self._start_mcp_discovery()
        if not (saved and self._restore(seat, saved)):
            self._say_ready(seat)
        self._call_hook("register_live_transport", seat.transport)
        if not self._first_seat_seen:
            self._first_seat_seen = True
            self._call_hook("_ensure_skin_watcher")
            self._call_hook("_start_backend_heartbeat_refresher")
            self._call_hook("_schedule_startup_orphan_sweep")

    def _restore(self, seat: HostSeat, saved: Sequence[SavedSession]) -> bool:
        """Restore all *saved* sessions, and note them for the front; False if one cannot be."""
        restored = restore_all(seat.ask, seat.live_ids, saved)
        if seat.notes is not None:
            if restored is None:
                seat.notes.update()
            else:
                seat.notes.restored(restored)
        return restored is not None

    def _say_ready(self, seat: HostSeat) -> None:
        try:
            skin = self.server.resolve_skin()
        except Exception:
            _log.exception("resolve_skin failed; the client gets its default look")
            skin = {}
        payload: dict[str, Any] = {"skin": skin}
        # The promise `heartbeat` is fulfilled by the front, which answers `gateway.ping` itself.
        payload.update(dict.fromkeys(self.findings.promises, True))
        if self.findings.replays:
            payload["replay_epoch"] = replay_epoch()
        params = {"type": "gateway.ready", "payload": payload}
        seat.transport.write({"jsonrpc": "2.0", "method": "event", "params": params})

    def _release(self, seat: HostSeat) -> None:
        """Do what this release's `handle_ws` does when a socket has closed. Blocks."""
        self._seats.discard(seat)
        transport = seat.transport
        for live_id, _session in self._sessions_of(transport):
            self.stored_keys.remember(live_id)
        self._call_hook("unregister_live_transport", transport)
        if "_close_sessions_for_transport" in self.findings.hooks:
            self._call_hook("_close_sessions_for_transport", transport, end_reason="ws_disconnect")
            return
        for live_id, session in self._sessions_of(transport):
            session["transport"] = self.sink
            self._call_hook("_schedule_ws_orphan_reap", live_id)

    def drain(self, timeout: float) -> bool:
        """Wait until nothing runs and all frames have gone out; False after *timeout* seconds.

        That is: requests in lanes and in Hermes' own pool, turns, and frames in the outboxes.
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
        """Let Hermes finalise all sessions; False if that takes more than *timeout* seconds."""
        if "_shutdown_sessions" not in self.findings.hooks:
            return True
        done = threading.Event()

        def finalise() -> None:
            self._call_hook("_shutdown_sessions")
            done.set()

        threading.Thread(target=finalise, name="hermes-shutdown", daemon=True).start()
        return done.wait(timeout)

    def _call_hook(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Call an optional hook of Hermes, if it is there; a failure is logged."""
        if name not in self.findings.hooks:
            return
        try:
            getattr(self.server, name)(*args, **kwargs)
        except Exception:
            _log.exception("Hermes' %s failed", name)

    def _start_mcp_discovery(self) -> None:
        """Start MCP discovery once in a process, if this release leaves that to its transport."""
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
    """Return the event that shows a slow client the notice about shed deltas."""
    params = {"type": "browser.progress", "payload": {"message": SLOW_CLIENT_NOTICE}}
    return encode({"jsonrpc": "2.0", "method": "event", "params": params})
