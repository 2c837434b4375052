"""Opens ports, and explains why one cannot be opened."""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure

from ..shared.problem import Problem
from .endpoints import Listener, is_local
from .proxy_protocol import ProxiedFactory
from .systemd_socket import Adopter

_DOMAINS: Final = {
    socket.AF_INET: "INET",
    socket.AF_INET6: "INET6",
    socket.AF_UNIX: "UNIX",
}


def open_port(
    reactor: Any, listener: Listener, factory: IProtocolFactory, *, allow_plaintext: bool
) -> IListeningPort:
    """Listen with *factory* and return the port. Raises `Problem`."""
    if listener.socket_path is not None:
        remove_stale_socket(listener.socket_path)
    opened: list[IListeningPort] = []
    failed: list[Failure] = []
    try:
        if listener.proxied:
            # In place of Twisted's `haproxy:`, whose parser is less strict.
            factory = ProxiedFactory(factory)  # type: ignore[no-untyped-call]
        endpoint = serverFromString(reactor, listener.inner)
        if listener.domain == "UNIX":
            endpoint.reactor = Adopter(reactor)
        endpoint.listen(factory).addCallbacks(opened.append, failed.append)
    except Exception as error:
        # Endpoint plugins raise all kinds: IndexError, KeyError, ValueError.
        failed.append(Failure(error))
    if failed:
        raise _cannot_listen(listener, failed[0])
    if not opened:
        raise Problem(f"{listener.description} does not open at once; that is not supported.")
    port = opened[0]
    try:
        _check_domain(listener, port)
        if not (listener.encrypted or allow_plaintext or is_local(port.getHost())):
            raise Problem(
                f"{listener.description} would carry keys and conversations in the clear beyond "
                "this machine.",
                "Use TLS (--tls self, or --tls-cert), an SSH tunnel or Tailscale to a loopback "
                "port, or a proxy with TLS; --allow-plaintext listens all the same.",
            )
    except Problem:
        maybeDeferred(port.stopListening).addErrback(lambda _failure: None)
        raise
    return port


def remove_stale_socket(path: Path) -> None:
    """Remove the Unix socket that a killed server has left at *path*.

    It is left alone if somebody listens. Twisted removes it only if the process in its lock file
    has ended; that number may be another process's by now, in a container even ours, and the
    server would never start again.
    """
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            return
        probe.setblocking(False)
        if probe.connect_ex(str(path)) == errno.ECONNREFUSED:
            path.unlink()
            path.with_name(path.name + ".lock").unlink()


def _check_domain(listener: Listener, port: IListeningPort) -> None:
    """Check that a systemd socket has the family that its endpoint names. Raises `Problem`.

    `ListenStream=8643` is an IPv6 socket: as IPv4 its addresses would be garbage.
    """
    if listener.domain is None:
        return
    duplicate = os.dup(port.fileno())  # type: ignore[attr-defined]
    with socket.socket(fileno=duplicate) as same:  # It finds out its family itself.
        domain = _DOMAINS.get(same.family, same.family.name)
    if domain != listener.domain:
        raise Problem(
            f"{listener.description}: the socket that systemd opened is of the domain {domain}.",
            f"Write domain={domain}, or another ListenStream= in the socket unit.",
        )


def _cannot_listen(listener: Listener, failure: Failure) -> Problem:
    error = failure.value
    if isinstance(error, CannotListenError):
        # The reason first: of a daemon's failure twistd shows a hundred characters.
        why = getattr(error.socketError, "strerror", None) or error.socketError
        if listener.socket_path is not None:
            return Problem(
                f"{listener.socket_path}: {why}. Cannot listen on {listener.description}: is "
                "another server there already, and does its directory exist?",
                "A file of another kind, or a lock of a server that has gone, has to be removed.",
            )
        return Problem(
            f"port {error.port}: {why}. Cannot listen on {listener.description}: is another "
            "server there already?",
            "Choose another port or endpoint.",
        )
    return Problem(
        f"Cannot listen on {listener.description}: {failure.getErrorMessage()} "
        f"({failure.type.__name__ if failure.type else 'error'}).",
        "Check the endpoint's syntax.",
    )
