"""Endpoint descriptions in Twisted's syntax: parsing, and which of them are encrypted."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IAddress, IListeningPort

from ..shared.problem import Problem

#: Endpoint kinds with encryption of their own.
_ENCRYPTED: Final = frozenset({"ssl", "tls", "onion"})
#: Endpoint kinds to which the TLS options apply, besides TCP sockets of `systemd:`.
_PLAIN: Final = frozenset({"tcp", "tcp6"})
#: The prefix of an endpoint behind a proxy that speaks the PROXY protocol.
_PROXIED: Final = "haproxy:"
#: The most bytes of a Unix socket's path (unix(7): 108 with the final zero).
MAX_SOCKET_PATH: Final = 107


@dataclass(frozen=True)
class Listener:
    """An endpoint to listen on, in Twisted's syntax."""

    description: str
    tls: bool = False
    """Whether this server adds TLS to the endpoint."""

    @property
    def kind(self) -> str:
        """The kind of endpoint: `tcp`, `ssl`, `unix`, `systemd`, `haproxy`, ..."""
        return self.description.partition(":")[0].lower()

    @property
    def proxied(self) -> bool:
        """Whether clients connect through a proxy that sends the PROXY protocol."""
        return self.kind == "haproxy"

    @property
    def inner(self) -> str:
        """The description without the prefix `haproxy:`."""
        return _without_prefix(self.description)

    @property
    def arguments(self) -> list[str]:
        """The parts of `inner`, separated by colons, the kind first."""
        return re.split(r"(?<!\\):", self.inner)

    @property
    def domain(self) -> str | None:
        """The address family of a `systemd:` endpoint, such as `INET6`; None for other kinds."""
        kind, *rest = self.arguments
        if kind.lower() != "systemd":
            return None
        named = [part.partition("=")[2] for part in rest if part.startswith("domain=")]
        return (named or [part for part in rest if "=" not in part] or [""])[0]

    @property
    def plain_stream(self) -> bool:
        """Whether this is a TCP port without encryption of its own."""
        return self.arguments[0].lower() in _PLAIN or self.domain in ("INET", "INET6")

    @property
    def encrypted(self) -> bool:
        """Whether the connections are encrypted."""
        return self.tls or self.arguments[0].lower() in _ENCRYPTED

    @property
    def socket_path(self) -> Path | None:
        """The path of the Unix socket that the endpoint creates, None for other kinds."""
        kind, *rest = self.arguments
        if kind.lower() != "unix":
            return None
        named = [part.removeprefix("address=") for part in rest if part.startswith("address=")]
        return Path(re.sub(r"\\(.)", r"\1", (named or rest)[0]))


@dataclass(frozen=True)
class TLSChoice:
    """The operator's choices for TLS."""

    certificate: Path | None = None
    """The file with the chain; None means the server's own authority."""
    key: Path | None = None
    """The file with the private key; None means the certificate's file."""
    names: tuple[str, ...] = ()
    """Further names and addresses for a certificate of the server's own authority."""
    client_ca: Path | None = None
    """The file with the authorities of client certificates; None means none is required."""


def parse_listener(text: str) -> Listener:
    """Parse an endpoint description; Unix sockets get mode 600. Raises `Problem`."""
    if not re.match(r"[a-zA-Z0-9_]+:.", text):
        raise Problem(
            f"--listen {text}: that is not an endpoint.",
            "Write one such as tcp:8643:interface=127.0.0.1 or unix:/path:mode=600.",
        )
    return Listener(_with_private_mode(text))


def choose_tls(
    kind: str | None,
    certificate: Path | None,
    key: Path | None,
    names: Sequence[str],
    client_ca: Path | None,
) -> TLSChoice | None:
    """Check and return the TLS options, None for no TLS. Raises `Problem` for contradictions."""
    if kind is not None and certificate is not None:
        raise Problem(
            "--tls self and --tls-cert contradict each other.",
            "Choose one: a certificate that the server makes, or yours.",
        )
    if key is not None and certificate is None:
        raise Problem("--tls-key needs --tls-cert, the certificate that it belongs to.")
    if names and kind is None:
        raise Problem("--tls-name is for --tls self: it goes into a certificate made here.")
    if kind is None and certificate is None:
        if client_ca is not None:
            raise Problem("--tls-client-ca needs TLS.", "Give --tls-cert or --tls self, too.")
        return None
    return TLSChoice(certificate, key, tuple(names), client_ca)


def with_tls(listeners: Sequence[Listener]) -> tuple[Listener, ...]:
    """Turn on TLS for all TCP endpoints. Raises `Problem` if there are none."""
    if not any(listener.plain_stream for listener in listeners):
        raise Problem(
            "TLS applies to tcp:, tcp6:, systemd: and haproxy:tcp: endpoints, and --listen names "
            "none of them.",
            "Leave out the TLS options, or listen on such an endpoint.",
        )
    return tuple(
        Listener(listener.description, tls=listener.plain_stream) for listener in listeners
    )


def socket_path_problem(path: Path) -> Problem | None:
    """Return why the control socket cannot have this *path*, None if it can."""
    length = len(os.fsencode(path))
    if length <= MAX_SOCKET_PATH:
        return None
    return Problem(
        f"{path}: a socket's path may have {MAX_SOCKET_PATH} bytes, and this one has {length}.",
        "Choose a shorter one with --control, or use --no-control.",
    )


def is_local(address: IAddress) -> bool:
    """Return whether only this machine can reach a listener at *address*."""
    host = getattr(address, "host", None)
    if host is None:
        return True  # A Unix socket.
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Not every version of Python unwraps IPv4-mapped addresses in `is_loopback`.
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def port_number(port: IListeningPort) -> int | None:
    """Return the number of a TCP port, None for a Unix socket."""
    return getattr(port.getHost(), "port", None)


def _without_prefix(description: str) -> str:
    """Remove all prefixes `haproxy:`."""
    while description.lower().startswith(_PROXIED):
        description = description[len(_PROXIED) :]
    return description


def _with_private_mode(description: str) -> str:
    """Add mode 600 to a Unix socket without a mode; Twisted's default is 666."""
    kind, *rest = Listener(description).arguments
    if kind.lower() != "unix" or any(part.startswith("mode=") for part in rest):
        return description
    # Without names the first argument is the address and the second the mode.
    positional = [part for part in rest if "=" not in part]
    named = any(part.startswith("address=") for part in rest)
    return description if len(positional) + named > 1 else description + ":mode=600"
