"""One worker process: starts it, carries bytes to and from it, and ends it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol, cast

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport, ITransport
from twisted.internet.protocol import Factory, ProcessProtocol, connectionDone
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..shared.packets import QUIET_PERIOD, BadPacket, Unpacker
from ..shared.problem import Problem
from ..tcp import write_promptly
from .locate import Hermes
from .output import OutputLines

#: Seconds beyond its own limit that a worker may take to end: until TERM, and until KILL.
END_MARGIN: Final = 1.0
#: Descriptor of the socket in the child.
CHILD_FD: Final = 3
#: Run by path, as a script: Hermes' Python need not know this package.
BOOT: Final = Path(__file__).resolve().parent.parent / "hermes" / "boot.py"


class ProcessOwner(Protocol):
    """Receives what a `WorkerProcess` reports."""

    def received(self, unpacker: Unpacker, data: bytes) -> None:
        """Take bytes from the worker. May raise `BadPacket`."""

    def ended(self, problem: Problem) -> None:
        """Take the end of the process; all that it sent has been received before."""


class WorkerProcess:
    """A child process and the socket to it.

    It counts as ended when the process has exited and its socket is read to the end. A
    worker that closes its socket and does not exit is killed.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        owner: ProcessOwner,
        hermes: Hermes,
        environment: dict[str, str],
        *,
        start_limit: float,
        shutdown_limit: float,
    ) -> None:
        """*start_limit* and *shutdown_limit*: seconds to load Hermes, and to end."""
        self._reactor = reactor
        self._owner = owner
        self._shutdown_limit = shutdown_limit
        self.pid: int | None = None
        self._exit: str | None = None
        self._socket_open = True
        self._stopping = False
        self._said = 0.0
        self._stream = _Stream(self)
        self._timer: IDelayedCall | None = reactor.callLater(start_limit, self._too_late)
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            factory = Factory.forProtocol(lambda: self._stream)
            reactor.adoptStreamConnection(ours.fileno(), socket.AF_UNIX, factory)
            with open(os.devnull, "rb") as nothing:
                self._transport: IProcessTransport = reactor.spawnProcess(
                    _Output(self),
                    str(hermes.python),
                    [str(hermes.python), "-u", "-P", str(BOOT), str(CHILD_FD)],
                    env=environment,
                    childFDs={0: nothing.fileno(), 1: "r", 2: "r", CHILD_FD: theirs.fileno()},
                )
        self._log.info("worker {pid} started with {python}", pid=self.pid, python=hermes.python)

    def say(self, packet: bytes) -> None:
        """Send one packet. Never blocks."""
        now = self._reactor.seconds()
        calm, self._said = now - self._said > QUIET_PERIOD, now
        transport = cast("ITransport", self._stream.transport)
        if calm:
            write_promptly(transport, packet)
        else:
            transport.write(packet)

    def loaded(self) -> None:
        """Stop the timer for the start: Hermes is loaded."""
        self._cancel_timer()

    def terminate(self) -> None:
        """End the process: first by the end of its input, then with TERM, then with KILL."""
        self._stopping = True
        cast("ITransport", self._stream.transport).loseConnection()
        self._set_timer(self._shutdown_limit + END_MARGIN, self._end_by_force)

    def _too_late(self) -> None:
        self._timer = None
        self._log.error("worker {pid} took too long to load Hermes", pid=self.pid)
        self._end_by_force()

    def _end_by_force(self) -> None:
        self._signal("TERM")
        self._set_timer(END_MARGIN, lambda: self._signal("KILL"))

    def _signal(self, name: str) -> None:
        self._timer = None
        with contextlib.suppress(ProcessExitedAlready):
            self._transport.signalProcess(name)

    def _set_timer(self, delay: float, act: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._reactor.callLater(delay, act)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # Called by the stream and by Twisted's process protocol.

    def spawned(self, pid: int) -> None:
        """Take the process id. One that exits at once does so before `spawnProcess` returns."""
        self.pid = pid

    def data_received(self, unpacker: Unpacker, data: bytes) -> None:
        """Pass bytes to the owner; close the socket if they are no packets."""
        try:
            self._owner.received(unpacker, data)
        except BadPacket as bad:
            self._log.error(
                "worker {pid} does not speak our protocol: {bad}", pid=self.pid, bad=bad
            )
            cast("ITransport", self._stream.transport).loseConnection()

    def socket_closed(self) -> None:
        """Note the end of the socket; a worker that does not exit by itself is killed."""
        self._socket_open = False
        if self._exit is None and not self._stopping:
            self._set_timer(END_MARGIN, self._end_by_force)
        self._end_if_gone()

    def process_exited(self, how: str) -> None:
        """Note the exit; bytes that it sent before may still have to be read."""
        self._exit = how
        self._cancel_timer()
        self._kill_group()
        self._end_if_gone()

    def _end_if_gone(self) -> None:
        if self._exit is not None and not self._socket_open:
            self._owner.ended(
                Problem(
                    f"Hermes' process (pid {self.pid}) {self._exit}.",
                    "Read the end of the server's log for its last output.",
                )
            )

    def _kill_group(self) -> None:
        """Kill the processes that Hermes started and that a killed worker could not end."""
        if self.pid is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class _Stream(StreamProtocol):
    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._unpacker = Unpacker()

    def dataReceived(self, data: bytes) -> None:
        self._process.data_received(self._unpacker, data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._process.socket_closed()


class _Output(ProcessProtocol):
    """Logs what the child prints, and reports how it ended."""

    def __init__(self, process: WorkerProcess) -> None:
        self._process = process
        self._out = OutputLines("stdout")
        self._err = OutputLines("stderr")

    def connectionMade(self) -> None:
        self._process.spawned(cast("Any", self.transport).pid)

    def outReceived(self, data: bytes) -> None:
        self._out.feed(data)

    def errReceived(self, data: bytes) -> None:
        self._err.feed(data)

    def processExited(self, reason: Failure) -> None:
        self._process.process_exited(describe_exit(reason.value))

    def processEnded(self, reason: Failure) -> None:
        self._out.finish()
        self._err.finish()


def describe_exit(how: object) -> str:
    """Return how a process ended, in words: `ended with status 1`, `was killed by SIGKILL`."""
    if number := getattr(how, "signal", None):
        return f"was killed by {signal.Signals(number).name}"
    return f"ended with status {getattr(how, 'exitCode', None) or 0}"
