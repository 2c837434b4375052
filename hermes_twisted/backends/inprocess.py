"""Hermes in this process: for the plugin inside a gateway, and for tests."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from .. import rpc
from ..hermes.cures.gateway import check_gateway, gateway_cures
from ..hermes.host import Host, explain_shedding
from ..hermes.transport import HostSeat
from ..limits import Limits
from ..meter import Meter, NullMeter
from ..seats.calls import Calls
from ..seats.ports import BackendState, StateListener
from ..shared import tuning
from ..shared.backlog import Backlog
from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.problem import Problem
from .refusal import SHUTDOWN_LIMIT, refuse
from .threads import in_thread

#: What to do about a failure that nobody has foreseen.
UNEXPECTED_ADVICE: Final = (
    "The log has the traceback. `hermes doctor` and a reinstallation of hermes-agent may help; "
    "--backend=worker runs Hermes in a process of its own."
)


class InProcessChannel:
    """One seat's way to the host in this process."""

    def __init__(
        self, backend: InProcessBackend, number: int, outbox: Outbox, calls: Calls
    ) -> None:
        self._backend = backend
        self.number = number
        self.outbox = outbox
        self._calls = calls
        self._seat: HostSeat | None = None
        self._tag = 0
        self._backlog: list[rpc.Frame] = []

    def submit(self, frame: rpc.Frame) -> None:
        """See `Channel`."""
        if self._seat is not None:
            self._tag = tag = self._tag % 0xFFFFFFFF + 1
            if frame.method:
                self._calls.begin(tag, frame.method, frame.id)
            self._seat.submit(tag, frame.text, urgent=frame.urgent)
        elif self._backend.state is BackendState.BROKEN:
            refuse(self.outbox, frame, self._backend.problem)
        else:
            self._backlog.append(frame)

    def delivered(self, size: int) -> None:
        """See `Channel`; nothing is kept back here."""

    def close(self) -> None:
        """See `Channel`."""
        self._backend.forget(self)
        if self._seat is not None:
            self._seat.detach()
        else:
            self.outbox.close()

    def begin(self, host: Host | None) -> None:
        """Hermes is loaded, or will not be (None): let go what has waited."""
        if host is not None:
            self._seat = host.open(self.outbox)
        backlog, self._backlog = self._backlog, []
        for frame in backlog:
            self.submit(frame)


class InProcessBackend:
    """The host, loaded once, in a thread; it cannot be restarted without the process."""

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
        """*own_process*: it is ours to tune."""
        self.state = BackendState.STOPPED
        self.problem: Problem | None = None
        self.findings: dict[str, Any] = {}
        self.meter: Meter = NullMeter()
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

    def start(self, listener: StateListener) -> None:
        """See `Backend`."""
        self._listener = listener
        self._stopping = False
        self._end_of_loading = Deferred()
        self._change(BackendState.STARTING)
        if self._own_process:
            tuning.switch_often()
        # Hermes reads it when it is imported, and for good.
        os.environ["HERMES_HOME"] = str(self._home)
        loading = in_thread(self._reactor, lambda: self._load(self._lanes), "hermes-load")
        loading.addCallbacks(self._loaded, self._not_loaded)
        loading.addErrback(lambda failure: self._log.failure("in-process start", failure))
        loading.addBoth(lambda _outcome: self._end_of_loading.callback(None))

    def open(self, number: int, wake: Callable[[], None]) -> InProcessChannel:
        """See `Backend`."""
        # Not `callFromThread`: it makes a timer for each call.
        loop = asyncio.get_running_loop()

        def rouse() -> None:
            loop.call_soon_threadsafe(wake)

        calls = Calls(self.meter, self._reactor.seconds)
        outbox = self._limits.outbox(rouse, explain_shedding, self._backlog, calls.end)
        channel = InProcessChannel(self, number, outbox, calls)
        self._channels[number] = channel
        if self._host is not None:
            channel.begin(self._host)
        return channel

    def forget(self, channel: InProcessChannel) -> None:
        """A seat has ended."""
        self._channels.pop(channel.number, None)

    def drain(self, timeout: float) -> Deferred[bool]:
        """See `Backend`."""
        host = self._host
        return in_thread(self._reactor, lambda: host is None or host.drain(timeout), "hermes-drain")

    def stop(self) -> Deferred[None]:
        """See `Backend`. An import of Hermes under way cannot be broken off: it is awaited."""
        self._stopping = True
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self.state is BackendState.STARTING:
            await self._end_of_loading
        host, self._host = self._host, None
        if host is not None and not await in_thread(
            self._reactor, lambda: host.shutdown(SHUTDOWN_LIMIT), "hermes-stop"
        ):
            self._log.warn("sessions were not finalised in time")
        self._change(BackendState.STOPPED)

    def _loaded(self, host: Host) -> None:
        self._host = host
        if self._stopping:
            return
        if self._own_process:
            tuning.freeze()
        self.findings = host.findings.as_dict()
        # Before anybody is told, and opens more, which begin at once.
        for channel in list(self._channels.values()):
            channel.begin(host)
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
            channel.begin(None)

    def _change(self, state: BackendState, problem: Problem | None = None) -> None:
        self.state, self.problem = state, problem
        self._listener(state, problem)


async def load_in_gateway(
    reactor: AsyncioSelectorReactor, limits: Limits, home: Path
) -> InProcessBackend:
    """A backend in a gateway's process. Call it on the gateway's loop.

    Hermes is loaded off the loop, and every cure that protects the gateway is tried,
    before this returns. Raises `Problem` where one does not work.
    """
    cures = gateway_cures(threading.get_ident())
    checking: Deferred[None] = in_thread(reactor, lambda: check_gateway(cures), "hermes-check")
    await checking
    return InProcessBackend(reactor, limits, home, lambda lanes: Host.load(lanes, cures))
