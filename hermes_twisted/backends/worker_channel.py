"""One seat's line to the worker; it outlives the worker's restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from .. import rpc
from ..seats.calls import Calls
from ..seats.ledger import SessionLedger
from ..seats.ports import BackendState
from ..shared.outbox import ANSWER, Outbox
from ..shared.packets import Op, pack
from ..shared.problem import Problem
from ..shared.schema import SessionNote, encode
from ..shared.settlements import Settlements
from .early_requests import EarlyRequests

#: Largest tag of a packet.
MAX_TAG: Final = 0xFFFFFFFF
#: The error that answers a request which was lost with its worker.
LOST: Final = "Hermes crashed before answering this request and is being restarted."


class ChannelOwner(Protocol):
    """The part of the backend that its channels use."""

    state: BackendState
    problem: Problem | None
    credit_lot: int
    """Bytes that are delivered before credit is given back."""

    def say(self, packet: bytes) -> None:
        """Send one packet to the worker; without one, drop it."""

    def forget(self, channel: WorkerChannel) -> None:
        """Remove the channel of a seat that has ended."""


class WorkerChannel:
    """A seat's `Channel` to the worker."""

    def __init__(
        self,
        backend: ChannelOwner,
        number: int,
        outbox: Outbox,
        settlements: Settlements,
        wake: Callable[[], None],
        calls: Calls,
    ) -> None:
        self.number = number
        self.outbox = outbox
        self.settlements = settlements
        self.wake = wake
        """Called, on the loop, when the outbox has something for an idle seat."""
        self._backend = backend
        self._calls = calls
        self._ledger = SessionLedger()
        self._early = EarlyRequests(outbox, settlements)
        self._tag = 0
        self._uncredited = 0
        self._unsettled = 0
        self._unsettled_bytes = 0
        self.unanswered: dict[int, bytes] = {}
        """Ids, as JSON text, of the requests that the worker has, by tag."""

    # Called by the seat.

    def submit(self, frame: rpc.Frame) -> None:
        """Send a request to the worker; without one, keep it, or refuse it if Hermes is broken."""
        if self._backend.state is BackendState.READY:
            self._send(frame)
        elif self._backend.state is BackendState.BROKEN:
            self._early.refuse(frame, self._backend.problem)
        else:
            self._early.keep(frame)

    def delivered(self, size: int) -> None:
        """Give the worker credit for *size* bytes, in batches."""
        self._uncredited += size
        if self._uncredited >= self._backend.credit_lot:
            self._backend.say(pack(Op.CREDIT, self.number, self._uncredited))
            self._uncredited = 0

    def close(self) -> None:
        """Drop what waits, and end the seat in the worker."""
        self.outbox.close()
        self.settlements.close()
        self._backend.forget(self)

    # Called by the backend.

    def worker_ready(self) -> None:
        """Open the seat in the new worker, with its saved sessions, and send what has waited."""
        self._uncredited = 0
        saved = encode(self._ledger.saved)
        self._backend.say(pack(Op.OPEN, self.number, body=saved))
        self.submit_kept()

    def submit_kept(self) -> None:
        """Submit again the requests that came while no worker was ready."""
        for frame in self._early.take():
            self.submit(frame)

    def worker_died(self) -> None:
        """Answer the requests that the worker had with an error."""
        lost, self.unanswered = self.unanswered, {}
        self._calls.lose()
        self.settled(self._unsettled, self._unsettled_bytes)
        for identity in lost.values():
            self.outbox.put(rpc.error(identity, rpc.SERVER_ERROR, LOST), ANSWER)

    def noted(self, note: SessionNote) -> None:
        """Take a note about the seat's sessions, and tell the client of restored ones."""
        for frame in self._ledger.note(note):
            self.outbox.put(frame)

    def settled(self, count: int, size: int) -> None:
        """Note that the worker has begun to run *count* requests, *size* bytes together."""
        self._unsettled -= count
        self._unsettled_bytes -= size
        self.settlements.settle(size, count)

    def _send(self, frame: rpc.Frame) -> None:
        self._tag = tag = self._tag % MAX_TAG + 1
        if frame.method:
            self.unanswered[tag] = frame.id
            self._calls.begin(tag, frame.method, frame.id)
        self._unsettled += 1
        self._unsettled_bytes += len(frame.text)
        op = Op.URGENT if frame.urgent else Op.REQUEST
        self._backend.say(pack(op, self.number, tag, frame.text))
