"""Checks the way from a name to a TCP connection."""

from __future__ import annotations

import errno
import socket

from .findings import Failed, Finding, Report, ok, problem, warning
from .network import Address, Network, Stream
from .target import Target


def resolve(network: Network, target: Target, report: Report) -> list[Address]:
    """Return the addresses of the target's name. Raises `Failed`."""
    host = target.host
    try:
        addresses = network.resolve(host, target.port)
    except socket.gaierror as error:
        again = error.errno == socket.EAI_AGAIN
        raise Failed(
            problem(
                "name",
                f"The name {host} cannot be resolved.",
                "No name server answers." if again else "No such name is known here.",
                "Check the connection to the network, or VPN." if again else
                "Check the spelling; a VPN, Tailscale or /etc/hosts may have to know it.",
            )
        ) from None  # fmt: skip
    shown = ", ".join(str(address) for address in addresses)
    report.add(ok("name", shown if shown == host else f"{host} is {shown}"))
    return addresses


def connect(
    network: Network, addresses: list[Address], port: int, timeout: float, report: Report
) -> tuple[Address, Stream]:
    """Connect to the first address that accepts; return both. Raises `Failed`."""
    failures: list[tuple[Address, OSError]] = []
    for address in addresses:
        began = network.now()
        try:
            stream = network.connect(address, timeout)
        except OSError as error:
            failures.append((address, error))
            continue
        took = (network.now() - began) * 1000
        report.add(ok("tcp", f"connected to {address} in {took:.0f} ms"))
        for failed, reason in failures:
            if isinstance(reason, TimeoutError):
                report.add(_slow_start(failed))
        return address, stream
    raise Failed(*(_no_tcp(*failure, port, timeout) for failure in failures))


def _no_tcp(address: Address, error: OSError, port: int, timeout: float) -> Finding:
    where = f"port {port} of {address}"
    if isinstance(error, ConnectionRefusedError):
        return problem(
            "tcp",
            f"Connection refused by {where}.",
            "The machine answers, but nothing listens at this port and address.",
            "On the server: hermes-attach doctor. Is it started, is the port right, does it "
            "listen on loopback only? Then use an SSH tunnel, or --listen.",
        )
    if isinstance(error, TimeoutError):
        return problem(
            "tcp",
            f"No answer from {where} within {timeout:g} s.",
            "A firewall drops the packets, or the machine is off.",
            "Allow the port in the firewall (or the cloud's security group), or use an SSH "
            "tunnel or Tailscale.",
        )
    if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH, errno.EADDRNOTAVAIL):
        return problem(
            "tcp",
            f"{address} cannot be reached from here ({error.strerror}).",
            "There is no route to it: no network, no VPN, or no IPv6.",
            "Check the network and the VPN; try the server's other address.",
        )
    return problem(
        "tcp",
        f"No connection to {where}: {error.strerror or type(error).__name__}.",
        "The operating system gives this reason.",
        "Check host and port.",
    )


def _slow_start(address: Address) -> Finding:
    return warning(
        "tcp",
        f"{address} does not answer, and another address of the same name does.",
        "Every attach may wait for it first.",
        "Correct the addresses of this name in DNS, or use the one that answers.",
    )
