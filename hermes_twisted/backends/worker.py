"""The default backend: Hermes in a child process, supervised, over a socketpair.

When the worker crashes: `process` reports it here (`WorkerBackend.ended`); `supervision` plans
the restart and has the new state announced, which `seats.notices` logs and shows to all users;
each `worker_channel` answers its requests in flight with an error and keeps later ones. The
next worker gets each seat's `seats.ledger` with OPEN, restores the sessions (`hermes.restore`)
and notes it (`hermes.session_notes`); the ledger turns that note into frames for the client.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..limits import Limits
from ..meter import Meter, NullMeter
from ..seats.calls import Calls
from ..seats.ports import BackendState, StateListener
from ..seats.queues import batch_bytes, batch_count
from ..shared.backlog import Backlog
from ..shared.outbox import ANSWER, Outbox
from ..shared.packets import SIZE, BadPacket, Op, Packet, Unpacker, pack
from ..shared.problem import Problem
from ..shared.schema import (
    Findings,
    SessionNote,
    WorkerSettings,
    decode,
    encode,
)
from ..shared.settlements import Settlements
from .locate import Hermes
from .process import WorkerProcess
from .supervision import Supervisor
from .worker_channel import MAX_TAG, WorkerChannel

#: Seconds beyond the time of a drain that the worker has to report its outcome.
DRAIN_MARGIN: Final = 1.0

#: Plain numbers compare several times faster than enum members.
_EVENT: Final = int(Op.EVENT)
_ANSWER: Final = int(Op.ANSWER)


class WorkerBackend:
    """Runs Hermes in a worker process and carries frames both ways.

    *locate* finds Hermes and raises `Problem`; it is called at every start of a worker, so
    that a Hermes which is installed later is found. *environment* is all that the worker gets.
    """

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        limits: Limits,
        locate: Callable[[], Hermes],
        environment: dict[str, str],
        *,
        umask: int = 0o077,
        core_limit: int | None = None,
    ) -> None:
        self.state = BackendState.STOPPED
        self.problem: Problem | None = None
        self.findings: Findings | None = None
        self._meter: Meter = NullMeter()
        self.credit_lot = max(1, limits.credit_window // 4)
        self._reactor = reactor
        self._limits = limits
        self._backlog = Backlog(limits.max_queued_total)
        self._locate = locate
        self._environment = environment
        self._umask = umask
        self._core_limit = core_limit
        self._listener: StateListener = lambda state, problem: None
        self._supervisor = Supervisor(reactor, self)
        self._channels: dict[int, WorkerChannel] = {}
        self._touched: dict[int, None] = {}
        self._reading = False
        self._process: WorkerProcess | None = None
        self._stopped: Deferred[None] | None = None
        self._drained: Deferred[bool] | None = None
        self._drain_guard: IDelayedCall | None = None

    # Called by the service: `Backend`.

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Start the first worker; *listener* is called at every change of state, on the loop."""
        self._listener, self._meter = listener, meter
        self._supervisor.start()

    def open(self, number: int, wake: Callable[[], None]) -> WorkerChannel:
        """Return a channel for a new seat; its requests wait until a worker is ready."""
        calls = Calls(self._meter, self._reactor.seconds)
        outbox = Outbox(
            lambda: self._wake(number),
            # Hermes' own frames are limited where they come from, in the worker.
            soft=self._limits.max_queued_hard,
            hard=self._limits.max_queued_hard,
            answered=calls.end,
            total=self._backlog,
        )
        # The worker reports in batches, so every report is passed on.
        settlements = Settlements(lambda: self._wake(number), count=1, size=1)
        channel = WorkerChannel(self, number, outbox, settlements, wake, calls)
        self._channels[number] = channel
        if self.state is BackendState.READY:
            channel.worker_ready()
        return channel

    def drain(self, timeout: float) -> Deferred[bool]:
        """Wait until nothing runs in the worker: True; False after *timeout* s or without one."""
        drained: Deferred[bool] = Deferred()
        self._drained = drained
        if self.state is BackendState.READY:
            self.say(pack(Op.DRAIN, tag=min(round(timeout * 1000), MAX_TAG)))
            # A worker that stalls does not say that the time is up.
            self._drain_guard = self._reactor.callLater(
                timeout + DRAIN_MARGIN, self._finish_draining, False
            )
        else:
            self._finish_draining(False)
        return drained

    def stop(self) -> Deferred[None]:
        """End the worker, which finalises Hermes' sessions; fires when it has exited."""
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        if self.state is BackendState.STOPPED:
            stopped.callback(None)
        else:
            self._supervisor.stop()
        return stopped

    # Called by the channels: `worker_channel.ChannelOwner`.

    def say(self, packet: bytes) -> None:
        """Send one packet to the worker; without one, drop it."""
        if self._process is not None:
            self._process.say(packet)

    def forget(self, channel: WorkerChannel) -> None:
        """Remove the channel of a seat that has ended, and end it in the worker."""
        del self._channels[channel.number]
        if self.state is BackendState.READY:
            self.say(pack(Op.CLOSE, channel.number))

    # Called by the supervisor: `SupervisorActions`.

    def spawn(self) -> None:
        """Find Hermes and start a worker; without Hermes, report that to the supervisor."""
        try:
            hermes = self._locate()
        except Problem as absent:
            self._supervisor.failed(absent)
            self._supervisor.died(absent)
            return
        settings = WorkerSettings(
            soft=self._limits.max_queued_soft,
            hard=self._limits.max_queued_hard,
            queued_total=self._limits.max_queued_total,
            window=self._limits.credit_window,
            threads=self._limits.max_threads,
            urgent_threads=self._limits.urgent_threads,
            settle_count=batch_count(self._limits),
            settle_bytes=batch_bytes(self._limits),
            shutdown=self._limits.shutdown_timeout,
            umask=self._umask,
            core_limit=self._core_limit,
        )
        self._process = WorkerProcess(
            self._reactor,
            self,
            hermes,
            self._environment,
            start_limit=self._limits.start_timeout,
            shutdown_limit=self._limits.shutdown_timeout,
        )
        self._process.say(pack(Op.HELLO, body=encode(settings)))

    def terminate(self) -> None:
        """End the worker's process."""
        if self._process is not None:
            self._process.terminate()

    def state_changed(self, state: BackendState, problem: Problem | None) -> None:
        """Enter *state*: let requests that waited go on or fail, then tell the listener."""
        self.state, self.problem = state, problem
        if state is BackendState.READY:
            for channel in list(self._channels.values()):
                channel.worker_ready()
        elif state is BackendState.BROKEN:
            for channel in list(self._channels.values()):
                channel.submit_kept()
        self._listener(state, problem)
        if state is BackendState.STOPPED and self._stopped is not None:
            self._stopped.callback(None)

    # Called by the process: `ProcessOwner`.

    def received(self, unpacker: Unpacker, data: bytes) -> None:
        """Carry out the packets in *data*, then wake each seat once. Raises `BadPacket`."""
        self._reading = True
        try:
            for packet in unpacker.feed(data):
                self._handle(packet)
        finally:
            self._reading = False
        touched, self._touched = self._touched, {}
        for number in touched:
            self._wake(number)

    def ended(self, problem: Problem) -> None:
        """Let the supervisor plan a restart, and fail the requests that the worker had."""
        self._process = None
        self.findings = None
        channels = list(self._channels.values())
        self._finish_draining(False)
        # First the new state: clients may send more requests as soon as they see the errors
        # below, and these are for the next worker.
        self._supervisor.died(problem)
        for channel in channels:
            channel.worker_died()

    def _handle(self, packet: Packet) -> None:
        op, number, tag, body = packet
        channel = self._channels.get(number)
        # The frequent kinds first.
        if op == _EVENT and channel is not None:
            channel.outbox.put(body)
        elif op == _ANSWER and channel is not None:
            channel.unanswered.pop(tag, None)
            channel.outbox.put(body, ANSWER, tag)
        elif op == Op.READY:
            assert self._process is not None
            self._process.loaded()
            self.findings = decode(Findings, body)
            self._supervisor.ready()
        elif op == Op.FAILED:
            self._supervisor.failed(decode(Problem, body))
        elif op == Op.DRAINED:
            self._finish_draining(tag == 0)
        elif channel is None:
            return  # The seat has ended.
        elif op == Op.NOTE:
            channel.noted(decode(SessionNote, body))
        elif op == Op.SETTLED:
            channel.settled(tag, SIZE.unpack(body)[0])
        elif op == Op.SHED:
            channel.outbox.note_shed(tag)
        elif op == Op.OVERFLOW:
            channel.outbox.overflow()
        else:
            raise BadPacket(f"kind {op}")

    def _wake(self, number: int) -> None:
        if self._reading:
            self._touched[number] = None
        elif (channel := self._channels.get(number)) is not None:
            channel.wake()

    def _finish_draining(self, finished: bool) -> None:
        guard, self._drain_guard = self._drain_guard, None
        if guard is not None and guard.active():
            guard.cancel()
        drained, self._drained = self._drained, None
        if drained is not None:
            drained.callback(finished)
