"""The control socket: a Unix socket on which the operator's commands talk to the server."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IDelayedCall, IListeningPort, IReactorTime
from twisted.internet.protocol import ServerFactory
from twisted.logger import Logger
from twisted.protocols.basic import LineOnlyReceiver
from twisted.protocols.policies import TimeoutMixin

from ..files import check_directory
from ..listen.endpoints import socket_path_problem
from ..listen.ports import remove_stale_socket
from ..meter import Meter
from ..seats.directory import Directory
from ..seats.seat import CLOSE_POLICY
from ..shared.problem import Problem
from .status import Overview

#: RFC 6455 §5.5: of a close frame's 125 bytes two are the code.
MAX_REASON: Final = 123
KICKED: Final = "the operator has ended this connection"

Answer = dict[str, Any]


class OperatorCommands:
    """Runs the operator's requests: `{"command": NAME, ...}`, each answered by one object.

    An answer has `"ok": true` and the result, or `"ok": false` and an `error`.
    """

    _log = Logger()

    def __init__(self, directory: Directory, overview: Overview, meter: Meter) -> None:
        self._directory = directory
        self._overview = overview
        self._meter = meter
        self._commands: dict[str, Callable[[dict[str, Any]], Answer]] = {
            "status": self._status,
            "kick": self._kick,
        }

    def answer(self, line: bytes) -> bytes:
        """Return the answer to one request line. Never raises."""
        try:
            answer = {"ok": True, **self._run(line)}
        except Problem as mistake:
            answer = {"ok": False, "error": str(mistake)}
        except Exception:
            self._log.failure("a request on the control socket failed")
            answer = {"ok": False, "error": "The server failed; its log says where."}
        return json.dumps(answer).encode()

    def _run(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
        except (ValueError, RecursionError):
            request = None
        if not isinstance(request, dict):
            raise Problem(
                "The request is not an object of JSON.", 'Send one a line: {"command": "status"}.'
            )
        command = request.get("command")
        run = self._commands.get(command) if isinstance(command, str) else None
        if run is None:
            raise Problem("There is no such command.", f"There are {', '.join(self._commands)}.")
        return run(request)

    def _status(self, request: dict[str, Any]) -> Answer:
        return {"status": self._overview.status()}

    def _kick(self, request: dict[str, Any]) -> Answer:
        number, reason = request.get("seat"), request.get("reason") or KICKED
        if not isinstance(number, int) or isinstance(number, bool):
            raise Problem("The seat is not a number.", "`hermes-attach status` shows the numbers.")
        if not isinstance(reason, str) or len(reason.encode()) > MAX_REASON:
            raise Problem(
                f"The reason is not a text of at most {MAX_REASON} bytes.", "Give a shorter one."
            )
        if not reason.isprintable():
            raise Problem("The reason has control characters.", "Give one line without any.")
        seat = self._directory.find(number)
        if seat is None:
            raise Problem(
                f"There is no seat {number}, or no longer.", "`hermes-attach status` lists them."
            )
        if seat.ending:
            raise Problem(
                f"Seat {number} is being disconnected already.", "Wait until it is closed."
            )
        self._log.info(
            "seat {seat} is closed by the operator: {reason}", seat=number, reason=reason
        )
        self._meter.count("kick")
        seat.notify(f"This terminal is being disconnected: {reason}.")
        seat.end(reason, CLOSE_POLICY)
        return {"seat": number, "key": seat.key.name, "peer": seat.peer}


#: Bytes of a request, seconds without one, connections at once.
MAX_LINE: Final = 4096
IDLE: Final = 60.0
MAX_CONNECTIONS: Final = 16
#: Linux' `struct ucred`: process, user, group.
_CREDENTIALS: Final = struct.Struct("3i")


def peer_user(sock: socket.socket) -> int | None:
    """Return the user id at the other end of a Unix socket; None where the kernel cannot tell."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    _pid, user, _group = _CREDENTIALS.unpack(
        sock.getsockopt(socket.SOL_SOCKET, option, _CREDENTIALS.size)
    )
    return int(user)


class ControlProtocol(LineOnlyReceiver, TimeoutMixin):
    """One connection: a line of JSON for each request, and one for each answer."""

    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE
    factory: ControlFactory

    def connectionMade(self) -> None:
        """Drop a process that is neither the server's user's nor root's."""
        transport: Any = self.transport
        if not self.factory.admit(self, transport.socket):
            transport.abortConnection()
            return
        self.setTimeout(IDLE)  # type: ignore[no-untyped-call]

    def callLater(self, period: float, func: Callable[[], None]) -> IDelayedCall:
        """Schedule a call on the factory's clock, for `TimeoutMixin`."""
        return self.factory.clock.callLater(period, func)

    def lineReceived(self, line: bytes) -> None:
        """Answer one request."""
        self.resetTimeout()  # type: ignore[no-untyped-call]
        self.sendLine(self.factory.commands.answer(line))  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Any = None) -> None:
        """Forget the connection."""
        self.setTimeout(None)  # type: ignore[no-untyped-call]
        self.factory.connections.discard(self)


class ControlFactory(ServerFactory):
    """The connections to the control socket, at most `MAX_CONNECTIONS`."""

    protocol = ControlProtocol  # type: ignore[assignment]
    noisy = False

    def __init__(self, clock: IReactorTime, commands: OperatorCommands) -> None:
        self.clock = clock
        self.commands = commands
        self.connections: set[ControlProtocol] = set()

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a protocol, or None, which closes the connection, when there are too many."""
        if len(self.connections) >= MAX_CONNECTIONS:
            return None
        return super().buildProtocol(addr)

    def admit(self, connection: ControlProtocol, sock: socket.socket) -> bool:
        """Add a connection of the server's user or root; return False for those of other users.

        The mode of the socket's file alone does not keep others out everywhere.
        """
        user = peer_user(sock)
        if user is not None and user not in (os.geteuid(), 0):
            return False
        self.connections.add(connection)
        return True


class Control:
    """Listens at *path* from the service's start to its stop; nowhere if *path* is None.

    A control socket that cannot be opened is a warning: the server serves without it.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        path: Path | None,
        home: Path,
        commands: OperatorCommands,
    ) -> None:
        self._reactor = reactor
        self._path = path
        self._directory = home / CONTROL.parent
        self._factory = ControlFactory(reactor, commands)
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """Open the socket, or log why that is not possible."""
        path = self._path
        if path is None:
            return
        try:
            self._listen(path)
        except Problem as problem:
            self._log.warn(
                "no control socket, so no `hermes-attach status`: {problem}", problem=str(problem)
            )

    def stop(self) -> Deferred[Any]:
        """Close the socket and its connections."""
        for connection in list(self._factory.connections):
            transport: Any = connection.transport
            transport.abortConnection()
        port, self._port = self._port, None
        return maybeDeferred(port.stopListening) if port is not None else maybeDeferred(int)

    def _prepare(self, path: Path) -> None:
        """Make and check the directory if it is ours; remove a dead server's socket."""
        try:
            if path.parent == self._directory:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                check_directory(path.parent)
            remove_stale_socket(path)
        except OSError as error:
            raise Problem(
                f"{path.parent} cannot be made: {error.strerror}.",
                "Name another socket with --control.",
            ) from None

    def _listen(self, path: Path) -> None:
        """Listen at *path*. Raises `Problem`."""
        if problem := socket_path_problem(path):
            raise problem
        self._prepare(path)
        try:
            self._port = self._reactor.listenUNIX(str(path), self._factory, mode=0o600)
        except CannotListenError as error:
            why = getattr(error.socketError, "strerror", None) or error.socketError
            raise Problem(
                f"{path}: {why}.",
                "If another server of the same home has it, name another for this one with "
                "--control.",
            ) from None


#: The control socket, in Hermes' home.
CONTROL: Final = Path("attach", "control.sock")
