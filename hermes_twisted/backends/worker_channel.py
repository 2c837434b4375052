"""One seat's line to the worker; it outlives the worker's restarts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from .. import rpc
from ..seats.calls import Calls
from ..seats.ledger import Recollection
from ..seats.ports import BackendState
from ..shared.outbox import ANSWER, Outbox
from ..shared.packets import Op, pack
from ..shared.problem import Problem
from .refusal import refuse

#: Largest tag of a packet.
MAX_TAG: Final = 0xFFFFFFFF
LOST: Final = "Hermes' process ended before it answered this request; it is being started again."
"""Answer to a request that died with its worker."""


class Worker(Protocol):
    """What a channel needs of the backend that it belongs to."""

    state: BackendState
    problem: Problem | None
    credit_lot: int
    """Bytes that are delivered before credit is given back."""

    def say(self, packet: bytes) -> None:
        """Send one packet, if there is a worker."""

    def forget(self, channel: WorkerChannel) -> None:
        """A seat has ended."""


class WorkerChannel:
    """One seat's line to the worker; it outlives the worker's restarts."""

    def __init__(
        self,
        backend: Worker,
        number: int,
        outbox: Outbox,
        wake: Callable[[], None],
        calls: Calls,
    ) -> None:
        self._backend = backend
        self.number = number
        self.outbox = outbox
        self.wake = wake
        self.calls = calls
        self._tag = 0
        self._uncredited = 0
        self._unsettled = 0
        self._unsettled_bytes = 0
        self.unanswered: dict[int, bytes] = {}
        """Ids, as JSON text, of the requests that the worker has."""
        self.recollection = Recollection()
        self.backlog: list[rpc.Frame] = []
        """Requests for the next worker, while there is none; bounded by the seat."""

    def submit(self, frame: rpc.Frame) -> None:
        """See `Channel`."""
        if self._backend.state is BackendState.BROKEN:
            refuse(self.outbox, frame, self._backend.problem)
        elif self._backend.state is BackendState.READY:
            self._send(frame)
        else:
            self.backlog.append(frame)

    def delivered(self, size: int) -> None:
        """See `Channel`."""
        self._uncredited += size
        if self._uncredited >= self._backend.credit_lot:
            self._backend.say(pack(Op.CREDIT, self.number, self._uncredited))
            self._uncredited = 0

    def close(self) -> None:
        """See `Channel`."""
        self.outbox.close()
        self._backend.forget(self)

    def begin(self) -> None:
        """A worker is ready: introduce this seat, then send what has waited."""
        self._uncredited = 0
        former = self.recollection.for_the_next_worker
        self._backend.say(pack(Op.OPEN, self.number, body=former))
        self.release()

    def lose(self) -> None:
        """The worker is gone, and with it what it had to answer."""
        lost, self.unanswered = self.unanswered, {}
        self.calls.lose()
        self.settled(self._unsettled, self._unsettled_bytes)
        for identity in lost.values():
            self.outbox.put(rpc.error(identity, rpc.SERVER_ERROR, LOST), ANSWER)

    def settled(self, count: int, size: int) -> None:
        """The worker has begun to run *count* requests, *size* bytes together."""
        self._unsettled -= count
        self._unsettled_bytes -= size
        self.outbox.settle(size, count)

    def release(self) -> None:
        """Let go what has waited: to the new worker, or to a refusal if there is to be none."""
        backlog, self.backlog = self.backlog, []
        for frame in backlog:
            self.submit(frame)

    def _send(self, frame: rpc.Frame) -> None:
        self._tag = tag = self._tag % MAX_TAG + 1
        if frame.method:
            self.unanswered[tag] = frame.id
            self.calls.begin(tag, frame.method, frame.id)
        self._unsettled += 1
        self._unsettled_bytes += len(frame.text)
        op = Op.URGENT if frame.urgent else Op.REQUEST
        self._backend.say(pack(op, self.number, tag, frame.text))
