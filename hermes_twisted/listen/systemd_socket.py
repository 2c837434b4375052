"""A Unix socket that systemd has made, and keeps: how it is, is not ours to change.

Twisted makes an adopted one readable and writable for everybody. When the port is closed
it removes the file, and shuts the socket down for systemd, too. So `SocketMode=` would be
void, and nobody could connect during a restart.
"""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure


class AdoptedPort(unix.Port):
    """Accepts on a socket that listens already, and leaves the rest to who made it."""

    _shouldShutdown = False

    def startListening(self) -> None:
        """What `unix.Port` does, without `chmod` and `listen`."""
        tcp._reservedFD.reserve()
        port = cast("Any", self)
        port.factory.doStart()
        port.socket, port._preexistingSocket = port._preexistingSocket, None
        port.fileno = port.socket.fileno
        port.connected = True
        port.numberAccepts = 100
        port.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """What `tcp.Port` does: `unix.Port` would unlink the file."""
        tcp.Port.connectionLost(self, reason)


class Adopter:
    """Stands for the reactor before an endpoint that adopts a Unix socket."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def adoptStreamPort(
        self, descriptor: int, family: int, factory: IProtocolFactory
    ) -> IListeningPort:
        """See `IReactorSocket`."""
        port = cast("Any", AdoptedPort)._fromListeningDescriptor(self._reactor, descriptor, factory)
        port.startListening()
        return cast("IListeningPort", port)
