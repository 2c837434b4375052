"""Reports backend state changes to the log and to every attached UI."""

from __future__ import annotations

from dataclasses import asdict

from twisted.logger import Logger

from ..meter import Meter
from ..shared.problem import Problem
from .directory import Directory, SeatObserver
from .ports import Backend, BackendState
from .seat import Seat


class StateNotices(SeatObserver):
    """Reports the state changes of *backend* to the log, the meter and all seats."""

    _log = Logger()

    def __init__(self, backend: Backend, directory: Directory, meter: Meter) -> None:
        self._backend = backend
        self._directory = directory
        self._meter = meter
        self._reported: Problem | None = None

    def seat_opened(self, seat: Seat) -> None:
        """Send a new client a notice if Hermes cannot be served."""
        if self._backend.state is BackendState.BROKEN:
            seat.notify(_explain(self._backend.problem))

    def changed(self, state: BackendState, problem: Problem | None) -> None:
        """Report a new state. A problem is reported once, not after each further attempt."""
        self._meter.count("backend", state.value)
        if state is BackendState.READY:
            self._reported = None
            self._log_ready()
        elif state is BackendState.BROKEN:
            if problem != self._reported:
                self._log.error("Hermes cannot be served: {problem}", problem=problem)
                self._notify_all(_explain(problem))
            self._reported = problem
        elif state is BackendState.RESTARTING:
            self._meter.count("restart")
            self._log.error("{problem} Hermes is being restarted.", problem=problem)
            self._notify_all(f"{problem.what if problem else ''} Hermes is being restarted.")

    def _log_ready(self) -> None:
        found = self._backend.findings
        if found is not None:
            self._log.info(
                "Hermes is ready: {version}, {details}",
                version=found.version,
                details=found.describe(),
                methods=found.methods,
                found=asdict(found),
            )

    def _notify_all(self, message: str) -> None:
        for seat in self._directory:
            seat.notify(message)


def _explain(problem: Problem | None) -> str:
    return f"Hermes cannot be served. {problem}" if problem else "Hermes cannot be served."
