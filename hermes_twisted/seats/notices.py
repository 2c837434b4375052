"""What becomes of Hermes, told to the operator in the log and to the users in their UIs."""

from __future__ import annotations

from twisted.logger import Logger

from ..meter import Meter
from ..shared.problem import Problem
from ..shared.schema import found_in_words
from .directory import Directory, SeatObserver
from .ports import Backend, BackendState
from .seat import Seat


class News(SeatObserver):
    """Told of every change of *backend*'s state; tells it to *seats*."""

    _log = Logger()

    def __init__(self, backend: Backend, directory: Directory, meter: Meter) -> None:
        self._backend = backend
        self._directory = directory
        self._meter = meter
        self._reported: Problem | None = None

    def seat_opened(self, seat: Seat) -> None:
        """What a client has to know that comes now."""
        if self._backend.state is BackendState.BROKEN:
            seat.tell(_explain(self._backend.problem))

    def changed(self, state: BackendState, problem: Problem | None) -> None:
        """As `StateListener`."""
        self._meter.count("backend", state.value)
        if state is BackendState.READY:
            self._reported = None
            found = self._backend.findings
            self._log.info(
                "Hermes is ready: {version}, {methods} methods{more}",
                version=found.get("version"),
                methods=found.get("methods"),
                more=found_in_words(found),
                found=found,
            )
        elif state is BackendState.BROKEN:
            # Said once, however often another start fails in the same way.
            if problem != self._reported:
                self._log.error("Hermes cannot be served: {problem}", problem=problem)
                self._tell_all(_explain(problem))
            self._reported = problem
        elif state is BackendState.RESTARTING:
            self._meter.count("restart")
            self._log.error("{problem} It is started again.", problem=problem)
            self._tell_all(f"{problem.what if problem else ''} It is being started again.")

    def _tell_all(self, message: str) -> None:
        for seat in self._directory:
            seat.tell(message)


def _explain(problem: Problem | None) -> str:
    return f"Hermes cannot be served. {problem}" if problem else "Hermes cannot be served."
