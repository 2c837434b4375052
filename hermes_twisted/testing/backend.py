"""A backend under the control of a test."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock

from ..limits import Limits
from ..meter import Meter, NullMeter
from ..rpc import Frame
from ..seats.ports import BackendState, StateListener
from ..seats.queues import make_outbox, make_settlements
from ..shared.outbox import Outbox
from ..shared.problem import Problem
from ..shared.schema import Findings
from ..shared.settlements import Settlements


class FakeChannel:
    """A channel under the control of a test: `requests` are those submitted, `say` answers."""

    def __init__(self, number: int, outbox: Outbox, settlements: Settlements) -> None:
        self.number = number
        self.outbox = outbox
        self.settlements = settlements
        self.requests: list[Frame] = []
        self.delivered_bytes = 0
        self.closed = False

    def submit(self, frame: Frame) -> None:
        """Append the request to `requests`."""
        self.requests.append(frame)

    def delivered(self, size: int) -> None:
        """Add *size* to `delivered_bytes`."""
        self.delivered_bytes += size

    def close(self) -> None:
        """Set `closed`, and close the outbox."""
        self.closed = True
        self.outbox.close()

    def say(self, *texts: bytes) -> None:
        """Queue frames for the client."""
        for text in texts:
            self.outbox.put(text)

    def settle(self, count: int = 1) -> None:
        """Settle the *count* oldest requests, and remove them from `requests`."""
        done, self.requests[:count] = self.requests[:count], []
        for frame in done:
            self.settlements.settle(len(frame.text))


class FakeBackend:
    """A backend under the control of a test. `channels` are the open channels, newest last."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self.state = BackendState.STOPPED
        self.problem: Problem | None = None
        self.findings: Findings | None = None
        self.meter: Meter = NullMeter()
        self.channels: list[FakeChannel] = []
        self.drained = True
        self._clock = clock
        self._limits = limits
        self._listener: StateListener = lambda state, problem: None

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Become ready at once."""
        self._listener, self.meter = listener, meter
        self.change(BackendState.READY)

    def change(self, state: BackendState, problem: Problem | None = None) -> None:
        """Enter *state*, and call the listener."""
        self.state, self.problem = state, problem
        self._listener(state, problem)

    def open(self, number: int, wake: Callable[[], None]) -> FakeChannel:
        """Return a new `FakeChannel`, and append it to `channels`."""

        def wake_later() -> None:
            # In a later turn of the loop, like the other backends.
            self._clock.callLater(0, wake)

        outbox = make_outbox(self._limits, wake_later)
        channel = FakeChannel(number, outbox, make_settlements(self._limits, wake_later))
        self.channels.append(channel)
        return channel

    def drain(self, timeout: float) -> Deferred[bool]:
        """Fire at once with `drained`."""
        return succeed(self.drained)

    def stop(self) -> Deferred[None]:
        """Become stopped at once."""
        self.change(BackendState.STOPPED)
        return succeed(None)
