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


class BackendState(Enum):
    """What a backend can do for its clients."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    BROKEN = "broken"


class Link(Protocol):
    """The open WebSocket below a seat."""

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, in one write."""

    def pause_reading(self) -> None:
        """Stop reading the socket."""

    def resume_reading(self) -> None:
        """Read the socket again."""

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""

    def abort(self) -> None:
        """Drop the connection now."""


class Channel(Protocol):
    """A seat's line to its backend, which owns the seat's outbox."""

    @property
    def outbox(self) -> Outbox:
        """The frames for the client."""

    def submit(self, frame: rpc.Frame) -> None:
        """Run *frame* after the client's earlier ones, or soon if it is urgent."""

    def delivered(self, size: int) -> None:
        """*size* bytes of the outbox have gone to the socket."""

    def close(self) -> None:
        """The client is gone."""


#: Told of every change, on the loop.
StateListener = Callable[[BackendState, Problem | None], None]


class Backend(Protocol):
    """Everything behind the seats. Its methods are called on the loop and never block."""

    state: BackendState
    problem: Problem | None
    """Why it is not ready, when there is more to say than its state."""
    findings: Findings | None
    """The Hermes that it runs, for logs and health pages; None until ready."""
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
