"""The worker's main: packets from the front in, Hermes' frames out.

The main thread reads the socket, the pump's thread writes it, lanes run requests. The worker
ends with the socket, so also when the front is killed.
"""

from __future__ import annotations

import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, NoReturn

from ..shared.backlog import Backlog
from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.packets import Op, Packet, Unpacker, pack
from ..shared.problem import Problem
from ..shared.schema import SavedSessions, WorkerSettings, decode, encode
from ..shared.settlements import Settlements
from ..shared.tuning import freeze, switch_often
from .host import Host, explain_shedding
from .pump import Line, Pump
from .seat import HostSeat

_log = logging.getLogger(__name__)

#: Below the size from which the C library maps fresh pages for every buffer.
READ_SIZE: Final = 64 * 1024

#: Exit statuses: an ordinary end; Hermes cannot be served.
EXIT_OK: Final = 0
EXIT_FAILED: Final = 3


class Worker:
    """Carries out the packets of one front: opens, serves and closes its seats in the host."""

    def __init__(self, host: Host, pump: Pump, settings: WorkerSettings) -> None:
        self._host = host
        self._pump = pump
        self._settings = settings
        self._backlog = Backlog(settings.queued_total)
        self._seats: dict[int, tuple[Line, HostSeat]] = {}

    def handle(self, packet: Packet) -> None:
        """Carry out one packet of the front. Never blocks."""
        op, seat_id, tag, body = packet
        if op == Op.OPEN:
            self._open(seat_id, decode(SavedSessions, body))
        elif op == Op.DRAIN:
            threading.Thread(target=self._drain, args=(tag / 1000,), daemon=True).start()
        elif seat_id not in self._seats:
            return  # The seat has ended while the packet was under way.
        elif op == Op.CREDIT:
            self._pump.credit(self._seats[seat_id][0], tag)
        elif op == Op.CLOSE:
            _line, seat = self._seats.pop(seat_id)
            self._host.close(seat)
        else:
            self._seats[seat_id][1].requests.submit(tag, body, urgent=op == Op.URGENT)

    def stop(self) -> None:
        """Close all seats and let Hermes finalise its sessions, within the limit. Blocks."""
        for _line, seat in self._seats.values():
            self._host.close(seat)
        if not self._host.shutdown(self._settings.shutdown):
            _log.warning("sessions were not finalised within %g s", self._settings.shutdown)

    def _open(self, seat_id: int, saved: SavedSessions) -> None:
        line = self._pump.open(seat_id, self._make_queues)
        seat = self._host.open(line.outbox, line.settlements, saved.sessions, notes=True)
        self._seats[seat_id] = line, seat

    def _make_queues(self, wake: Callable[[], None]) -> tuple[Outbox, Settlements]:
        settings = self._settings
        outbox = Outbox(
            wake,
            soft=settings.soft,
            hard=settings.hard,
            explain=explain_shedding,
            total=self._backlog,
        )
        settlements = Settlements(wake, count=settings.settle_count, size=settings.settle_bytes)
        return outbox, settlements

    def _drain(self, timeout: float) -> None:
        finished = self._host.drain(timeout)
        self._pump.say(pack(Op.DRAINED, tag=0 if finished else 1))


def main(fd: int) -> NoReturn:
    """Serve the front at the other end of the socket *fd*; never returns."""
    # Out of the terminal's process group: a Ctrl-C there is for the front, which then ends
    # the worker in order. And the front can kill all that Hermes has started, as one group.
    os.setsid()
    _log_warnings()
    sock = socket.socket(fileno=fd)
    sock.set_inheritable(False)

    def end_input(*_: object) -> None:
        sock.shutdown(socket.SHUT_RD)

    signal.signal(signal.SIGTERM, end_input)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    status = EXIT_OK
    try:
        _serve(sock)
    except Problem:
        status = EXIT_FAILED
    except Exception:
        _log.exception("the worker failed")
        status = 1
    logging.shutdown()
    sys.stdout.flush()
    # Not sys.exit: it would join threads that a handler may occupy for minutes.
    os._exit(status)


def _serve(sock: socket.socket) -> None:
    """Read packets until the socket ends. Raises `Problem` after having reported it."""
    unpacker = Unpacker()
    worker: Worker | None = None
    while data := sock.recv(READ_SIZE):
        for packet in unpacker.feed(data):
            if worker is None:
                worker = _start(sock, decode(WorkerSettings, packet.body))
            else:
                worker.handle(packet)
    if worker is not None:
        worker.stop()


def _start(sock: socket.socket, settings: WorkerSettings) -> Worker:
    """Load Hermes and report to the front. Raises `Problem` after having reported it."""
    _adopt(settings)
    pump = Pump(sock, window=settings.window)
    pump.start()
    try:
        host = Host.load(LanePool(limit=settings.threads, reserve=settings.urgent_threads))
    except Problem as problem:
        pump.say(pack(Op.FAILED, body=encode(problem)))
        pump.finish()
        raise
    pump.say(pack(Op.READY, body=encode(host.findings)))
    freeze()
    return Worker(host, pump, settings)


class EachLine(logging.Formatter):
    """Puts level and name before each line, because the front logs line by line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record with level and name before each line."""
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"{record.levelname} {record.name}: {line}" for line in lines)


def _log_warnings() -> None:
    """Send warnings to the front's log. No lower level: Hermes logs prompts at INFO."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(EachLine())
    logging.getLogger().addHandler(handler)
    emit = logging.StreamHandler.emit

    def emit_warnings(self: logging.StreamHandler[Any], record: logging.LogRecord) -> None:
        # Hermes adds handlers of its own to stderr when a client asks for verbose output.
        if record.levelno >= logging.WARNING or isinstance(self, logging.FileHandler):
            emit(self, record)

    logging.StreamHandler.emit = emit_warnings  # type: ignore[assignment, method-assign]


def _adopt(settings: WorkerSettings) -> None:
    """Apply the settings that concern the process as a whole."""
    os.umask(settings.umask)
    if settings.core_limit is not None:
        # The front forbids core files, because its memory has keys in it. The worker's has none.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (settings.core_limit, hard))
    switch_often()
