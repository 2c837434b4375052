"""Adopts a Unix socket from systemd without changing it.

Twisted would make it readable and writable for everybody, which makes `SocketMode=` void. On
close it would remove the file and shut the socket down for systemd, too, so that nobody could
connect during a restart.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure


class AdoptedPort(unix.Port):
    """Accepts on a socket that listens already; changes neither its file nor its state."""

    _shouldShutdown = False

    def startListening(self) -> None:
        """Start to accept, as `unix.Port` does but without `chmod` and `listen`."""
        tcp._reservedFD.reserve()
        port = cast("Any", self)
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.fileno = port.socket.fileno
        port.connected = True
        port.numberAccepts = 100
        port.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close as `tcp.Port` does: `unix.Port` would unlink the file."""
        tcp.Port.connectionLost(self, reason)


class Adopter:
    """Replaces the reactor in an endpoint that adopts a Unix socket."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> IListeningPort:
        """Return an `AdoptedPort` on the descriptor, as `IReactorSocket` has it."""
        port = cast("Any", AdoptedPort)._fromListeningDescriptor(self._reactor, descriptor, factory)
        port.startListening()
        return cast("IListeningPort", port)
