"""The default backend: Hermes in a child process, supervised, over a socketpair."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall

from ..limits import Limits
from ..meter import Meter, NullMeter
from ..seats.calls import Calls
from ..seats.ports import BackendState, StateListener
from ..shared.backlog import Backlog
from ..shared.outbox import ANSWER, Outbox
from ..shared.packets import SIZE, BadPacket, Op, Packet, Unpacker, pack
from ..shared.problem import Problem
from .locate import Hermes
from .process import WorkerProcess
from .refusal import SHUTDOWN_LIMIT
from .supervision import Supervisor
from .worker_channel import MAX_TAG, WorkerChannel

#: How much longer than the time of a drain its outcome is waited for.
DRAIN_MARGIN: Final = 1.0

#: Plain numbers, which compare several times quicker.
_EVENT: Final = int(Op.EVENT)
_ANSWER: Final = int(Op.ANSWER)


class WorkerBackend:
    """Spawns the worker, watches it, and carries frames both ways.

    *locate* finds Hermes; it runs at every start, so that a Hermes which is
    installed later is found. *environment* is all that the worker gets.
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
        self.findings: dict[str, Any] = {}
        self.meter: Meter = NullMeter()
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

    # What the service calls.

    def start(self, listener: StateListener) -> None:
        """See `Backend`."""
        self._listener = listener
        self._supervisor.start()

    def open(self, number: int, wake: Callable[[], None]) -> WorkerChannel:
        """See `Backend`."""
        calls = Calls(self.meter, self._reactor.seconds)
        outbox = Outbox(
            lambda: self._wake(number),
            # Hermes' own frames are limited where they come from, in the worker.
            soft=self._limits.max_queued_hard,
            hard=self._limits.max_queued_hard,
            settle_count=1,
            settle_bytes=1,
            answered=calls.end,
            total=self._backlog,
        )
        channel = WorkerChannel(self, number, outbox, wake, calls)
        self._channels[number] = channel
        if self.state is BackendState.READY:
            channel.begin()
        return channel

    def drain(self, timeout: float) -> Deferred[bool]:
        """See `Backend`."""
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
        """See `Backend`."""
        stopped: Deferred[None] = Deferred()
        self._stopped = stopped
        if self.state is BackendState.STOPPED:
            stopped.callback(None)
        else:
            self._supervisor.stop()
        return stopped

    # What the channels call.

    def say(self, packet: bytes) -> None:
        """Send one packet, if there is a worker."""
        if self._process is not None:
            self._process.say(packet)

    def forget(self, channel: WorkerChannel) -> None:
        """A seat has ended."""
        del self._channels[channel.number]
        if self.state is BackendState.READY:
            self.say(pack(Op.CLOSE, channel.number))

    # What the supervisor calls: `Crew`.

    def spawn(self) -> None:
        """See `Crew`."""
        try:
            hermes = self._locate()
        except Problem as absent:
            self._supervisor.failed(absent)
            self._supervisor.died(absent)
            return
        settings = {
            "soft": self._limits.max_queued_soft,
            "hard": self._limits.max_queued_hard,
            "queued_total": self._limits.max_queued_total,
            "window": self._limits.credit_window,
            "threads": self._limits.max_threads,
            "urgent_threads": self._limits.urgent_threads,
            "settle_count": self._limits.settle_count,
            "settle_bytes": self._limits.settle_bytes,
            "shutdown": SHUTDOWN_LIMIT,
            "umask": self._umask,
            "core_limit": self._core_limit,
        }
        self._process = WorkerProcess(
            self._reactor, self, hermes, self._environment, SHUTDOWN_LIMIT
        )
        self._process.say(pack(Op.HELLO, body=json.dumps(settings).encode()))

    def terminate(self) -> None:
        """See `Crew`."""
        if self._process is not None:
            self._process.terminate()

    def state_changed(self, state: BackendState, problem: Problem | None) -> None:
        """See `Crew`."""
        self.state, self.problem = state, problem
        if state is BackendState.READY:
            for channel in list(self._channels.values()):
                channel.begin()
        elif state is BackendState.BROKEN:
            for channel in list(self._channels.values()):
                channel.release()
        self._listener(state, problem)
        if state is BackendState.STOPPED and self._stopped is not None:
            self._stopped.callback(None)

    # What the process calls.

    def received(self, unpacker: Unpacker, data: bytes) -> None:
        """Bytes of the worker: hand the frames out, then flush each seat once."""
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
        """The worker's process is gone."""
        self._process = None
        self.findings = {}
        lost = list(self._channels.values())
        self._finish_draining(False)
        # First the new state: what the errors below set free waits for the next worker.
        self._supervisor.died(problem)
        for channel in lost:
            channel.lose()

    def _handle(self, packet: Packet) -> None:
        op, number, tag, body = packet
        channel = self._channels.get(number)
        # First what comes by the thousand.
        if op == _EVENT and channel is not None:
            channel.outbox.put(body)
        elif op == _ANSWER and channel is not None:
            channel.unanswered.pop(tag, None)
            channel.outbox.put(body, ANSWER, tag)
        elif op == Op.READY:
            assert self._process is not None
            self._process.loaded()
            self.findings = json.loads(body)
            self._supervisor.ready()
        elif op == Op.FAILED:
            self._supervisor.failed(Problem(**json.loads(body)))
        elif op == Op.DRAINED:
            self._finish_draining(tag == 0)
        elif channel is None:
            return  # The seat has ended meanwhile.
        elif op == Op.NOTE:
            for frame in channel.recollection.note(body):
                channel.outbox.put(frame)
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
