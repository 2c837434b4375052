"""The interfaces of a seat's neighbours: the link to its client, and the backend.

A link is an open WebSocket. A channel connects one seat to the backend.
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
    """The state of a backend."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    """Hermes has ended unexpectedly and is being restarted."""
    BROKEN = "broken"
    """Hermes cannot be served; the backend's problem says why."""


class Link(Protocol):
    """One open WebSocket, as its attachment uses it."""

    @property
    def writable(self) -> bool:
        """Whether the socket accepts more without buffering."""

    @property
    def may_have_unread(self) -> bool:
        """Whether the client may have sent bytes that we have not read, because of a pause."""

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, in one write."""

    def ping(self) -> None:
        """Send a ping if the socket is writable."""

    def pause_reading(self) -> None:
        """Stop reading the socket."""

    def resume_reading(self) -> None:
        """Read the socket again."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """Drop the connection at once."""


class Channel(Protocol):
    """Connects a seat to its backend, which makes the seat's outbox."""

    @property
    def outbox(self) -> Outbox:
        """The queue of frames for the client."""

    @property
    def settlements(self) -> Settlements:
        """Counts settled requests; wakes the seat, too."""

    def submit(self, frame: rpc.Frame) -> None:
        """Pass a request to Hermes: after the client's earlier ones, unless it is urgent."""

    def delivered(self, size: int) -> None:
        """Note that *size* bytes of the outbox were written to the socket."""

    def close(self) -> None:
        """Release everything, because the client has disconnected for good."""


#: Called on the loop at every change of a backend's state.
StateListener = Callable[[BackendState, Problem | None], None]


class Backend(Protocol):
    """What answers the seats' requests. Called on the loop; no method blocks."""

    state: BackendState
    problem: Problem | None
    """Why it is not ready, if that is known."""
    findings: Findings | None
    """The Hermes that it runs; None until it is ready."""

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Start Hermes. Seats may be opened at once: their requests wait until it is ready.

        *listener* is called at every change of state; *meter* records how long answers take.
        """

    def open(self, number: int, wake: Callable[[], None]) -> Channel:
        """Open a channel for a new seat.

        *wake* is called on the loop when an empty outbox gets frames.
        """

    def drain(self, timeout: float) -> Deferred[bool]:
        """Fire with True once no request or turn runs, or with False after *timeout* seconds."""

    def stop(self) -> Deferred[None]:
        """Finalise Hermes' sessions and release everything, within a time limit."""
