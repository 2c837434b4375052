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

from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from .codec import encode
from .cures.late_turn_end import Turns
from .cures.lost_questions import Questions
from .cures.resume_by_live_id import ACTIVATE, PROMPT, RESUME, Resuming
from .cures.unknown_methods import QUIET
from .loading import Findings, check_config, import_server, look, replay_epoch
from .restore import resume_all
from .transport import Former, HostSeat

_log = logging.getLogger(__name__)

#: Said to a client whose live text was thinned out (see `Outbox`).
SLOW_CLIENT_NOTICE: Final = (
    "This connection is slower than the reply: parts of the live text are left out. "
    "The whole text follows when the reply is complete."
)
#: How often a drain looks whether a turn still runs, in seconds.
DRAIN_POLL: Final = 0.1

#: Changes what Hermes' terminal side would do to a process that is not its own. Raises
#: `Problem` where it cannot.
Cure = Callable[[ModuleType], None]


class Sink:
    """Stands in for Hermes' transports that lead nowhere: drops frames that belong to nobody.

    The original would print conversation text to the service's log. Questions among
    the frames are kept for whoever comes back.
    """

    _closed = True

    def __init__(self, questions: Questions) -> None:
        self.dropped = 0
        self._questions = questions

    def write(self, obj: dict[str, Any]) -> bool:
        """Drop one frame; False says that nobody is there."""
        self.dropped += 1
        self._questions.lost(obj)
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
    questions: Questions
    resuming: Resuming
    turns: Turns
    pool_share: int = field(init=False)
    """A quarter of Hermes' pool: so many requests of one client run there at once."""
    _long_handlers: frozenset[str] = field(init=False)
    _seats: set[HostSeat] = field(default_factory=set, init=False)
    _mcp_started: bool = field(default=False, init=False)
    _first_seat_seen: bool = field(default=False, init=False)

    @classmethod
    def load(cls, lanes: LanePool, cures: Sequence[Cure] = ()) -> Host:
        """Import Hermes, cure what the import does to the process, look at what it offers.

        Takes up to half a second and starts threads, so: after any fork, and off
        the event loop. Raises `Problem`.
        """
        check_config()
        server = import_server()
        host = cls.of(server, look(server), lanes)
        for cure in cures:
            cure(server)
        return host

    @classmethod
    def of(cls, server: ModuleType, findings: Findings, lanes: LanePool) -> Host:
        """The host of a Hermes that was imported and looked at."""
        questions = Questions(server)
        sink = Sink(questions)
        # All uses look the globals up at call time (hermes-agent 0.13 and later).
        server._stdio_transport = sink  # type: ignore[attr-defined]
        if "_detached_ws_transport" in vars(server) and not findings.hands_over:
            # Its place from 0.17 on for sessions that nobody is attached to, and that
            # may be asked something. Left alone where Hermes keeps its questions itself.
            server._detached_ws_transport = Sink(questions)  # type: ignore[attr-defined]
        # Up to 0.16 the transport itself says where a session's events go (see `release`).
        binds = "_close_sessions_for_transport" not in findings.hooks
        resuming = Resuming(server, binds=binds)
        return cls(server, findings, lanes, sink, questions, resuming, Turns(server))

    def __post_init__(self) -> None:
        self._long_handlers = frozenset(getattr(self.server, "_LONG_HANDLERS", ()))
        self.pool_share = max(1, self.findings.pool // 4)

    def open(
        self, outbox: Outbox, former: list[Former] | None = None, *, notes: bool = False
    ) -> HostSeat:
        """A client has come: `gateway.ready` follows, or its *former* sessions."""
        seat = HostSeat(self, outbox, notes=notes)
        self._seats.add(seat)
        seat.welcome(former or [])
        return seat

    def sessions_of(self, seat: HostSeat) -> list[Former]:
        """The sessions whose events go to *seat*, with what it takes to resume them."""
        return [
            {"id": sid, "key": session.get("session_key"), "cols": session.get("cols")}
            for sid, session in list(self.server._sessions.items())
            if session.get("transport") is seat
        ]

    def noticed(self, params: dict[str, Any], text: bytes) -> None:
        """An event, other than a delta, goes to a client."""
        self.questions.notice(params, text)
        self.turns.notice(params)

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        """Hermes' dispatcher; None means that the answer comes through `seat.write`."""
        response: dict[str, Any] | None
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str):
            response = self.server.dispatch(request, seat)
            return response
        if method in self.findings.answered_here:
            return {"jsonrpc": "2.0", "id": request.get("id"), "result": QUIET[method]}
        params = request.get("params")
        sid = params.get("session_id") if isinstance(params, dict) else None
        if isinstance(sid, str) and sid:
            self.resuming.notice(sid)
            if method == PROMPT:
                self.resuming.prompted(sid, params.get("text"))
                self.turns.settle(sid)
            if method in (RESUME, ACTIVATE):
                return self._give_back(request, seat)
        response = self.server.dispatch(request, seat)
        return response

    def is_pooled(self, request: Any) -> bool:
        """Whether Hermes runs *request* in its own pool of threads."""
        method = request.get("method") if isinstance(request, dict) else None
        return isinstance(method, str) and method in self._long_handlers

    def _give_back(self, request: dict[str, Any], seat: HostSeat) -> dict[str, Any] | None:
        """A client asks for a session: mend what this release gets wrong, and ask it
        again what the session's turn waits to know."""
        response: dict[str, Any] | None = None
        try:
            if request["method"] == RESUME:
                response = self.resuming.take_over(request, seat)
                if response is None:
                    request = self.resuming.translate(request)
        except Exception:
            _log.exception("a session could not be found again; Hermes is asked as it is")

        def answered(response: Any) -> None:
            for question in self.questions.to_repeat(response):
                seat.repeat(question)

        seat.when_answered(request.get("id"), answered)
        if response is None:
            response = self.server.dispatch(request, seat)
            if request["method"] == ACTIVATE:
                self.resuming.rebind(response, seat)
        return response

    def greet(self, seat: HostSeat, former: list[Former]) -> None:
        """What `tui_gateway.ws.handle_ws` does when a socket opens, and its ready frame.

        A client that had sessions in another process gets them back instead: the ready
        frame would make it start over.
        """
        self._start_mcp_discovery()
        if not (former and resume_all(seat, former)):
            self._say_ready(seat)
        self._call_hook("register_live_transport", seat)
        if not self._first_seat_seen:
            self._first_seat_seen = True
            self._call_hook("_ensure_skin_watcher")
            self._call_hook("_start_backend_heartbeat_refresher")
            self._call_hook("_schedule_startup_orphan_sweep")

    def _say_ready(self, seat: HostSeat) -> None:
        try:
            skin = self.server.resolve_skin()
        except Exception:
            _log.exception("resolve_skin failed; the client gets its default look")
            skin = {}
        payload: dict[str, Any] = {"skin": skin}
        # `heartbeat` is kept by the front, which answers `gateway.ping` itself.
        payload.update(dict.fromkeys(self.findings.promises, True))
        if self.findings.replays:
            payload["replay_epoch"] = replay_epoch()
        params = {"type": "gateway.ready", "payload": payload}
        seat.write({"jsonrpc": "2.0", "method": "event", "params": params})

    def release(self, seat: HostSeat) -> None:
        """What `handle_ws` does when a socket has closed, as this release does it. Blocks."""
        self._seats.discard(seat)
        for sid, session in list(self.server._sessions.items()):
            if session.get("transport") is seat:
                self.resuming.notice(sid)
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
