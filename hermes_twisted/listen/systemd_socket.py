"""Adopts a Unix socket from systemd without changing it.

Twisted would make it readable and writable for everybody, against `SocketMode=`. When it closes the
port it would remove the file and shut the socket down for systemd, too, so that no client could
connect during a restart.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure


class AdoptedPort(unix.Port):
    """A port on a socket that already listens; changes neither its file nor its state."""

    _shouldShutdown = False

    def startListening(self) -> None:
        """Start to accept connections: like `unix.Port`, but without `chmod` and `listen`."""
        tcp._reservedFD.reserve()
        port = cast("Any", self)
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.fileno = port.socket.fileno
        port.connected = True
        port.numberAccepts = 100
        port.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Close the port like `tcp.Port`: `unix.Port` would unlink the file."""
        tcp.Port.connectionLost(self, reason)


class Adopter:
    """The reactor of an endpoint for a Unix socket of systemd; returns an `AdoptedPort`."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> IListeningPort:
        """Return an `AdoptedPort` that listens on *descriptor* (`IReactorSocket`)."""
        port = cast("Any", AdoptedPort)._fromListeningDescriptor(self._reactor, descriptor, factory)
        port.startListening()
        return cast("IListeningPort", port)
