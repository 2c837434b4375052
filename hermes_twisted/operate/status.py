"""The state of the service, for /ready, /metrics and `hermes-attach status`."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from .. import __version__
from ..access.keys import Scope
from ..seats.ports import Backend, BackendState
from ..seats.roster import Roster
from .metrics import Readings

STOPPING: Final = "stopping"
#: /ready needs no key, so these say nothing of the machine; details are for the operator.
_REASONS: Final = {
    BackendState.STOPPED.value: "Hermes is not running.",
    BackendState.STARTING.value: "Hermes is being loaded; try again in a few seconds.",
    BackendState.RESTARTING.value: "Hermes ended and is being started again; try again in a few "
    "seconds.",
    BackendState.BROKEN.value: "Hermes cannot be served; on the server, `hermes-attach status` and "
    "the log say why. It is tried again every half a minute.",
    STOPPING: "The server is stopping.",
}


class Overview:
    """Reads the state of the backend, the roster and the event loop. Changes nothing."""

    def __init__(
        self,
        backend: Backend,
        roster: Roster,
        *,
        kind: str,
        lag: Callable[[], float],
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._backend = backend
        self._roster = roster
        self._kind = kind
        self._lag = lag
        self._wall = wall
        self._started = 0.0
        self._listening: Sequence[str] = ()
        self._gauges: dict[str, Callable[[], int]] = {}
        self._stopping = False

    def started(self, listening: Sequence[str], **gauges: Callable[[], int]) -> None:
        """Note the start, the addresses, and further gauges by the names of their metrics."""
        self._started = self._wall()
        self._listening = listening
        self._gauges = gauges
        self._stopping = False

    def stopping(self) -> None:
        """Note that a stop has begun."""
        self._stopping = True

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._backend.state is BackendState.READY and not self._stopping

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        """Return whether the service is ready, and the body of /ready, which anybody may read."""
        status = STOPPING if self._stopping else self._backend.state.value
        if self.ready:
            return True, {"status": status}
        return False, {"status": status, "reason": _REASONS[status]}

    def readings(self) -> Readings:
        """Return every gauge, for `Metrics.watch`."""
        entries = list(self._roster)
        traffic = self._roster.traffic()
        queued = [entry.seat.unsent for entry in entries]
        scopes = Counter(entry.seat.key.scope for entry in entries)
        findings = self._backend.findings
        hermes = "" if findings is None else findings.version
        return {
            "info": {(__version__, self._kind, hermes): 1},
            "start_time_seconds": self._started,
            "ready": self.ready,
            "backend_state": {(s.value,): s is self._backend.state for s in BackendState},
            "links": len(entries),
            "seats": {(scope.value,): scopes[scope] for scope in Scope},
            "events": traffic.events,
            "messages": {("in",): traffic.frames_in, ("out",): traffic.frames_out},
            "bytes": {("in",): traffic.bytes_in, ("out",): traffic.bytes_out},
            "shed": traffic.shed,
            "queued_bytes": sum(queued),
            "queued_bytes_largest": max(queued, default=0),
            "waiting_requests": sum(entry.seat.waiting for entry in entries),
            "slow_links": sum(not entry.attachment.writable for entry in entries),
            "paused_links": sum(entry.attachment.paused for entry in entries),
            **{name: read() for name, read in self._gauges.items()},
        }

    def status(self) -> dict[str, Any]:
        """Return what `hermes-attach status --json` prints."""
        _ready, readiness = self.readiness()
        problem, findings = self._backend.problem, self._backend.findings
        return {
            "version": __version__,
            "pid": os.getpid(),
            "started": round(self._started, 3),
            "listening": list(self._listening),
            "ready": self.ready,
            **readiness,
            "backend": {
                "kind": self._kind,
                "state": self._backend.state.value,
                "problem": None if problem is None else str(problem),
                "hermes": None if findings is None else findings.version,
            },
            "loop_lag": round(self._lag(), 6),
            "seats": self._roster.rows(),
        }
