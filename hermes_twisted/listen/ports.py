"""Opens listening ports, and explains failures to open one."""

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
    """Listen with *factory* and return the open port.

    Raises `Problem` if that fails, or if the port would be reachable from other machines without
    encryption and that is not allowed.
    """
    if listener.socket_path is not None:
        remove_stale_socket(listener.socket_path)
    opened: list[IListeningPort] = []
    failed: list[Failure] = []
    try:
        if listener.proxied:
            # Replaces Twisted's `haproxy:`, whose parser is less strict.
            factory = ProxiedFactory(factory)  # type: ignore[no-untyped-call]
        endpoint = serverFromString(reactor, listener.inner)
        if listener.domain == "UNIX":
            endpoint.reactor = Adopter(reactor)
        endpoint.listen(factory).addCallbacks(opened.append, failed.append)
    except Exception as error:
        # Endpoint plugins raise all kinds of errors: IndexError, KeyError, ValueError.
        failed.append(Failure(error))
    if failed:
        raise _cannot_listen(listener, failed[0])
    if not opened:
        raise Problem(
            f"{listener.description} does not open immediately, which is not supported.",
            "Choose another endpoint, such as tcp:8643.",
        )
    port = opened[0]
    try:
        _check_domain(listener, port)
        if not (listener.encrypted or allow_plaintext or is_local(port.getHost())):
            raise Problem(
                f"{listener.description} would carry keys and conversations in the clear beyond "
                "this machine.",
                "Use TLS (--tls self, or --tls-cert), an SSH tunnel or Tailscale to a loopback "
                "port, or a proxy with TLS; or allow it with --allow-plaintext.",
            )
    except Problem:
        maybeDeferred(port.stopListening).addErrback(lambda _failure: None)
        raise
    return port


def remove_stale_socket(path: Path) -> None:
    """Remove the Unix socket of a killed server at *path*, unless a process listens on it.

    Twisted removes it only if the process in its lock file has ended. That process id may have
    been reused, in a container even by this process, and then the server could never start.
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
    with socket.socket(fileno=duplicate) as same:  # Detects its family.
        domain = _DOMAINS.get(same.family, same.family.name)
    if domain != listener.domain:
        raise Problem(
            f"{listener.description}: the socket that systemd opened has the domain {domain}.",
            f"Write domain={domain}, or another ListenStream= in the socket unit.",
        )


def _cannot_listen(listener: Listener, failure: Failure) -> Problem:
    """Return the problem of a listener that could not be opened."""
    error = failure.value
    if isinstance(error, CannotListenError):
        # The reason comes first: twistd shows 100 characters of a daemon's failure.
        why = getattr(error.socketError, "strerror", None) or error.socketError
        if listener.socket_path is not None:
            return Problem(
                f"{listener.socket_path}: {why}. Cannot listen on {listener.description}: is "
                "another server there already, and does its directory exist?",
                "Remove a file of another kind, or the lock file of a server that has ended.",
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
