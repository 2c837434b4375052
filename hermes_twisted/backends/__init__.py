"""Who answers a seat's requests.

`worker`: a supervised child process that runs Hermes (the default). `inprocess`:
Hermes in this process. `scripted`: a recorded conversation. All three meet the
same contract, `Backend`, and the same tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred

from .. import rpc
from ..core.seats import Channel
from ..core.supervision import State
from ..meter import Meter
from ..shared.outbox import ANSWER, Outbox
from ..shared.problem import Problem

__all__ = ["SHUTDOWN_LIMIT", "Backend", "Problem", "State", "StateListener", "refuse"]

#: How long Hermes may take to finalise its sessions, in seconds.
SHUTDOWN_LIMIT: Final = 5.0

#: Told of every change, on the loop.
StateListener = Callable[[State, Problem | None], None]


class Backend(Protocol):
    """Everything behind the seats. Its methods are called on the loop and never block."""

    state: State
    problem: Problem | None
    """Why it is not ready, when there is more to say than its state."""
    findings: dict[str, Any]
    """What it runs, for logs and health pages: empty until ready."""
    meter: Meter
    """Told how long answers take; whoever starts it may set it before."""

    def start(self, listener: StateListener) -> None:
        """Begin to get ready. Seats may be opened at once: they wait."""

    def open(self, number: int, wake: Callable[[], None]) -> Channel:
        """A channel for a new seat.

        *wake* is called, on the loop, when its outbox has something and the seat
        had emptied it.
        """

    def drain(self, timeout: float) -> Deferred[bool]:
        """Fires when nothing runs any more: True, or False after *timeout* seconds."""

    def stop(self) -> Deferred[None]:
        """Finalise Hermes' sessions and release everything, within limits."""


def refuse(outbox: Outbox, frame: rpc.Frame, problem: Problem | None) -> None:
    """Answer a request that nobody will run, because of *problem*."""
    outbox.settle(len(frame.text))
    reason = str(problem) if problem is not None else "Hermes is not running."
    outbox.put(rpc.error(frame.id, rpc.SERVER_ERROR, reason), ANSWER)
