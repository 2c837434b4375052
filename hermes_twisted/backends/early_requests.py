"""Requests of a seat that arrive while Hermes is not ready."""

from __future__ import annotations

from .. import rpc
from ..shared.outbox import ANSWER, Outbox
from ..shared.problem import Problem
from ..shared.settlements import Settlements


class EarlyRequests:
    """Keeps the requests of one seat until Hermes is ready, or answers them with an error.

    How many there may be is limited by the seat's request window.
    """

    def __init__(self, outbox: Outbox, settlements: Settlements) -> None:
        self._outbox = outbox
        self._settlements = settlements
        self._kept: list[rpc.Frame] = []

    def keep(self, frame: rpc.Frame) -> None:
        """Keep a request; Hermes is still being loaded, or loaded anew."""
        self._kept.append(frame)

    def take(self) -> list[rpc.Frame]:
        """Return the requests that were kept, in order, and keep them no longer."""
        kept, self._kept = self._kept, []
        return kept

    def refuse(self, frame: rpc.Frame, problem: Problem | None) -> None:
        """Answer a request with *problem*: Hermes cannot be served."""
        self._settlements.settle(len(frame.text))
        reason = str(problem) if problem is not None else "Hermes is not running."
        self._outbox.put(rpc.error(frame.id, rpc.SERVER_ERROR, reason), ANSWER)
