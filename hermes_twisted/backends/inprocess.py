"""The backend that runs Hermes in this process: inside a gateway, and in tests."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .. import rpc
from ..hermes.cures.gateway import check_gateway, gateway_cures
from ..hermes.host import Host, explain_shedding
from ..hermes.seat import HostSeat
from ..limits import Limits
from ..meter import Meter, NullMeter
from ..seats.calls import Calls
from ..seats.ports import BackendState, StateListener
from ..seats.queues import make_outbox, make_settlements
from ..shared import tuning
from ..shared.backlog import Backlog
from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.problem import Problem
from ..shared.schema import Findings
from ..shared.settlements import Settlements
from .early_requests import EarlyRequests
from .threads import in_thread

#: The advice for a failure without a `Problem` of its own.
UNEXPECTED_ADVICE: Final = (
    "The log has the traceback. `hermes doctor` and a reinstallation of hermes-agent may help; "
    "--backend=worker runs Hermes in a process of its own."
)


class InProcessChannel:
    """A seat's `Channel` to the host in this process."""

    def __init__(
        self,
        backend: InProcessBackend,
        number: int,
        outbox: Outbox,
        settlements: Settlements,
        calls: Calls,
    ) -> None:
        self.number = number
        self.outbox = outbox
        self.settlements = settlements
        self._backend = backend
        self._calls = calls
        self._early = EarlyRequests(outbox, settlements)
        self._host: Host | None = None
        self._seat: HostSeat | None = None
        self._tag = 0

    def submit(self, frame: rpc.Frame) -> None:
        """Run a request in Hermes; keep it while Hermes is loaded, refuse it if it cannot be."""
        if self._seat is not None:
            self._tag = tag = self._tag % 0xFFFFFFFF + 1
            if frame.method:
                self._calls.begin(tag, frame.method, frame.id)
            self._seat.requests.submit(tag, frame.text, urgent=frame.urgent)
        elif self._backend.state is BackendState.BROKEN:
            self._early.refuse(frame, self._backend.problem)
        else:
            self._early.keep(frame)

    def delivered(self, size: int) -> None:
        """Do nothing: no frames are kept back for want of credit."""

    def close(self) -> None:
        """Drop what waits, and end the seat in the host."""
        self._backend.forget(self)
        if self._host is not None and self._seat is not None:
            self._host.close(self._seat)
        else:
            self.outbox.close()
            self.settlements.close()

    def hermes_loaded(self, host: Host) -> None:
        """Open the seat in *host*, and submit the requests that have waited."""
        self._host, self._seat = host, host.open(self.outbox, self.settlements)
        self.submit_kept()

    def submit_kept(self) -> None:
        """Submit again the requests that came while Hermes was loaded."""
        for frame in self._early.take():
            self.submit(frame)


class InProcessBackend:
    """Loads the host once, in a thread. Hermes cannot be restarted without the process."""

    _log = Logger()

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        limits: Limits,
        home: Path,
        load: Callable[[LanePool], Host] = Host.load,
        *,
        own_process: bool = False,
    ) -> None:
        """*own_process*: no gateway runs in this process, so that the interpreter may be tuned."""
        self.state = BackendState.STOPPED
        self.problem: Problem | None = None
        self.findings: Findings | None = None
        self._meter: Meter = NullMeter()
        self._reactor = reactor
        self._limits = limits
        self._backlog = Backlog(limits.max_queued_total)
        self._home = home
        self._load = load
        self._own_process = own_process
        self._lanes = LanePool(limit=limits.max_threads, reserve=limits.urgent_threads)
        self._host: Host | None = None
        self._stopping = False
        self._end_of_loading: Deferred[None] = Deferred()
        self._listener: StateListener = lambda state, problem: None
        self._channels: dict[int, InProcessChannel] = {}

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Load Hermes in a thread; *listener* is called at every change of state, on the loop."""
        self._listener, self._meter = listener, meter
        self._stopping = False
        self._end_of_loading = Deferred()
        self._change(BackendState.STARTING)
        if self._own_process:
            tuning.switch_often()
        # Hermes reads it once, when it is imported.
        os.environ["HERMES_HOME"] = str(self._home)
        loading = in_thread(self._reactor, lambda: self._load(self._lanes), "hermes-load")
        loading.addCallbacks(self._loaded, self._not_loaded)
        loading.addErrback(
            lambda failure: self._log.failure("the start of the backend failed", failure)
        )
        loading.addBoth(lambda _outcome: self._end_of_loading.callback(None))

    def open(self, number: int, wake: Callable[[], None]) -> InProcessChannel:
        """Return a channel for a new seat; its requests wait until Hermes is loaded."""
        # Not `callFromThread`: it makes a timer for each call.
        loop = asyncio.get_running_loop()

        def rouse() -> None:
            loop.call_soon_threadsafe(wake)

        calls = Calls(self._meter, self._reactor.seconds)
        outbox = make_outbox(
            self._limits,
            rouse,
            explain=explain_shedding,
            total=self._backlog,
            answered=calls.end,
        )
        settlements = make_settlements(self._limits, rouse)
        channel = InProcessChannel(self, number, outbox, settlements, calls)
        self._channels[number] = channel
        if self._host is not None:
            channel.hermes_loaded(self._host)
        return channel

    def forget(self, channel: InProcessChannel) -> None:
        """Remove the channel of a seat that has ended."""
        self._channels.pop(channel.number, None)

    def drain(self, timeout: float) -> Deferred[bool]:
        """Wait until nothing runs in Hermes: True; False after *timeout* seconds."""
        host = self._host
        return in_thread(self._reactor, lambda: host is None or host.drain(timeout), "hermes-drain")

    def stop(self) -> Deferred[None]:
        """Let Hermes finalise its sessions. An import that is under way is awaited first."""
        self._stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self.state is BackendState.STARTING:
            await self._end_of_loading
        host, self._host = self._host, None
        limit = self._limits.shutdown_timeout
        if host is not None and not await in_thread(
            self._reactor, lambda: host.shutdown(limit), "hermes-stop"
        ):
            self._log.warn("sessions were not finalised within {limit} s", limit=limit)
        self._change(BackendState.STOPPED)

    def _loaded(self, host: Host) -> None:
        self._host = host
        if self._stopping:
            return
        if self._own_process:
            tuning.freeze()
        self.findings = host.findings
        # Before the listener is called: it may open more channels, which start at once.
        for channel in list(self._channels.values()):
            channel.hermes_loaded(host)
        self._change(BackendState.READY)

    def _not_loaded(self, failure: Failure) -> None:
        if self._stopping:
            return
        found = failure.value
        if isinstance(found, Problem):
            problem = found
        else:
            self._log.failure("loading Hermes failed", failure)
            problem = Problem(
                f"Loading Hermes failed with {type(found).__name__}.", UNEXPECTED_ADVICE
            )
        self._change(BackendState.BROKEN, problem)
        for channel in list(self._channels.values()):
            channel.submit_kept()

    def _change(self, state: BackendState, problem: Problem | None = None) -> None:
        self.state, self.problem = state, problem
        self._listener(state, problem)


async def load_in_gateway(
    reactor: AsyncioSelectorReactor, limits: Limits, home: Path
) -> InProcessBackend:
    """Return a backend for a gateway's process. Call it on the gateway's loop.

    Hermes is loaded off the loop, and every cure that protects the gateway is tried,
    before this returns. Raises `Problem` if one does not work.
    """
    cures = gateway_cures(threading.get_ident())
    checking: Deferred[None] = in_thread(reactor, lambda: check_gateway(cures), "hermes-check")
    await checking
    return InProcessBackend(reactor, limits, home, lambda lanes: Host.load(lanes, cures))
