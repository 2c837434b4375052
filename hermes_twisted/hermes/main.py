"""The worker's main: packets from the front in, Hermes' frames out.

Threads: the main one reads the socket, the pump writes it, lanes run requests.
The socket's end is the worker's end, so a front that is killed takes it along.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import socket
import sys
import threading
from typing import Any, Final, NoReturn

from ..shared.backlog import Backlog
from ..shared.lanes import LanePool
from ..shared.outbox import Outbox
from ..shared.packets import Op, Packet, Unpacker, pack
from ..shared.problem import Problem
from ..shared.tuning import freeze, switch_often
from .host import Host, explain_shedding
from .pump import Line, Pump
from .transport import HostSeat

_log = logging.getLogger(__name__)

#: Below the size from which the C library maps fresh pages for every buffer.
READ_SIZE: Final = 64 * 1024

#: Exit statuses: an ordinary end, and Hermes cannot be served.
EXIT_OK: Final = 0
EXIT_FAILED: Final = 3


class Worker:
    """The seats of one front, over one socket."""

    def __init__(self, sock: socket.socket, settings: dict[str, Any]) -> None:
        self._socket = sock
        self._settings = settings
        self._backlog = Backlog(settings["queued_total"])
        self._pump = Pump(sock, window=settings["window"])
        self._seats: dict[int, tuple[Line, HostSeat]] = {}
        self._lanes = LanePool(limit=settings["threads"], reserve=settings["urgent_threads"])
        self._host: Host | None = None

    def start(self) -> None:
        """Load Hermes and report. Raises `Problem` after having reported it."""
        self._pump.start()
        try:
            self._host = Host.load(self._lanes)
        except Problem as problem:
            report = {"what": problem.what, "advice": problem.advice}
            self._pump.say(pack(Op.FAILED, body=json.dumps(report).encode()))
            self._pump.finish()
            raise
        findings = json.dumps(self._host.findings.as_dict()).encode()
        self._pump.say(pack(Op.READY, body=findings))

    def handle(self, packet: Packet) -> None:
        """Do what one packet of the front says. Never blocks."""
        op, seat_id, tag, body = packet
        if op == Op.OPEN:
            self._open(seat_id, body)
        elif op == Op.DRAIN:
            threading.Thread(target=self._drain, args=(tag / 1000,), daemon=True).start()
        elif seat_id not in self._seats:
            return  # Closed already: what was under way to it is void.
        elif op == Op.CREDIT:
            self._pump.credit(self._seats[seat_id][0], tag)
        elif op == Op.CLOSE:
            _line, seat = self._seats.pop(seat_id)
            seat.detach()
        else:
            self._seats[seat_id][1].submit(tag, body, urgent=op == Op.URGENT)

    def stop(self) -> None:
        """Let Hermes finalise its sessions, within the limit."""
        for _line, seat in self._seats.values():
            seat.detach()
        if self._host is not None and not self._host.shutdown(self._settings["shutdown"]):
            _log.warning("sessions were not finalised in time")

    def _open(self, seat_id: int, body: bytes) -> None:
        assert self._host is not None
        line = Line(seat_id)
        line.outbox = Outbox(
            lambda: self._pump.rouse(line),
            soft=self._settings["soft"],
            hard=self._settings["hard"],
            explain=explain_shedding,
            settle_count=self._settings["settle_count"],
            settle_bytes=self._settings["settle_bytes"],
            total=self._backlog,
        )
        former = json.loads(body) if body else []
        self._seats[seat_id] = line, self._host.open(line.outbox, former, notes=True)

    def _drain(self, timeout: float) -> None:
        assert self._host is not None
        finished = self._host.drain(timeout)
        self._pump.say(pack(Op.DRAINED, tag=0 if finished else 1))


def main(fd: int) -> NoReturn:
    """Serve the front at the other end of the socket *fd*; never returns."""
    # Away from the terminal's process group: a Ctrl-C there is for the front, which
    # ends us in order; and the front can end all that Hermes has started under us.
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
    # Not sys.exit: it would join threads that a handler may hold for minutes.
    os._exit(status)


def _serve(sock: socket.socket) -> None:
    unpacker = Unpacker()
    worker: Worker | None = None
    while data := sock.recv(READ_SIZE):
        for packet in unpacker.feed(data):
            if worker is None:
                settings = json.loads(packet.body)
                _adopt(settings)
                worker = Worker(sock, settings)
                worker.start()
                freeze()
            else:
                worker.handle(packet)
    if worker is not None:
        worker.stop()


class EachLine(logging.Formatter):
    """Level and name before each line: the front logs line by line, a traceback's as well."""

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        lines = super().format(record).splitlines() or [""]
        return "\n".join(f"{record.levelname} {record.name}: {line}" for line in lines)


def _log_warnings() -> None:
    """Warnings go to the front's log. No lower level: Hermes logs prompts at INFO."""
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


def _adopt(settings: dict[str, Any]) -> None:
    """What concerns the process as a whole."""
    os.umask(settings["umask"])
    if settings["core_limit"] is not None:
        # The front's own memory has keys in it, and so it forbids core files. Ours has none.
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (settings["core_limit"], hard))
    switch_often()
