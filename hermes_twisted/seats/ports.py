"""What a seat is connected to: the link to its client on one side, the backend on the other.

Protocols only. A link is an open WebSocket; a channel is a seat's line to the backend.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Protocol

from twisted.internet.defer import Deferred

from .. import rpc
from ..meter import Meter
from ..shared.outbox import Outbox
from ..shared.problem import Problem
from ..shared.schema import Findings
from ..shared.settlements import Settlements

__all__ = ["Backend", "BackendState", "Channel", "Link", "StateListener"]


class BackendState(Enum):
    """What a backend can do for its clients."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    BROKEN = "broken"


class Link(Protocol):
    """One open WebSocket, as its attachment uses it."""

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""

    @property
    def unheard(self) -> bool:
        """Whether the client may have said something that we have not read."""

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, in one write."""

    def ping(self) -> None:
        """Send a ping, if the socket takes more."""

    def pause_reading(self) -> None:
        """Stop reading the socket."""

    def resume_reading(self) -> None:
        """Read the socket again."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """Drop the connection now."""


class Channel(Protocol):
    """A seat's way to its backend. The backend makes the seat's outbox."""

    @property
    def outbox(self) -> Outbox:
        """The queue of frames for the client."""

    @property
    def settlements(self) -> Settlements:
        """The requests that no longer wait; also wakes the seat."""

    def submit(self, frame: rpc.Frame) -> None:
        """Pass a request to Hermes: behind the client's earlier ones, or ahead if it is urgent."""

    def delivered(self, size: int) -> None:
        """Note that *size* bytes of the outbox were written to the socket."""

    def close(self) -> None:
        """Release everything: the client has gone for good."""


#: Called on the loop at every change of a backend's state.
StateListener = Callable[[BackendState, Problem | None], None]


class Backend(Protocol):
    """What answers the seats' requests. Called on the loop; no method blocks."""

    state: BackendState
    problem: Problem | None
    """Why it is not ready, where there is more to say than its state."""
    findings: Findings | None
    """The Hermes that it runs, for logs and health pages; None until ready."""

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Begin to get ready. Seats may be opened at once: their requests wait.

        *listener* is called at every change of state, *meter* observes how long answers take.
        """

    def open(self, number: int, wake: Callable[[], None]) -> Channel:
        """Return a channel for a new seat.

        *wake* is called on the loop when the outbox has frames and the seat had emptied it.
        """

    def drain(self, timeout: float) -> Deferred[bool]:
        """Fire with True when nothing runs any more, or with False after *timeout* seconds."""

    def stop(self) -> Deferred[None]:
        """Finalise Hermes' sessions and release everything, within a time limit."""
