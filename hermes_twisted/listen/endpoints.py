"""Where to listen, and whether what is said there can be overheard."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IAddress, IListeningPort

#: Endpoint kinds that encrypt.
_ENCRYPTED: Final = frozenset({"ssl", "tls", "onion"})
#: Endpoint kinds that the options for TLS apply to, and `systemd:` if it is no Unix socket.
_PLAIN: Final = frozenset({"tcp", "tcp6"})
#: What stands around another endpoint.
_PROXIED: Final = "haproxy:"
#: Bytes of a Unix socket's path (unix(7); of the 108 the last is a zero).
MAX_SOCKET_PATH: Final = 107


@dataclass(frozen=True)
class Listener:
    """An endpoint description in Twisted's syntax."""

    description: str
    tls: bool = False
    """Whether this server's own TLS is spoken there."""

    @property
    def kind(self) -> str:
        """`tcp`, `ssl`, `unix`, `systemd`, `haproxy`, ..."""
        return self.description.partition(":")[0].lower()

    @property
    def proxied(self) -> bool:
        """Whether clients come through a proxy that speaks the PROXY protocol."""
        return self.kind == "haproxy"

    @property
    def inner(self) -> str:
        """The endpoint without the proxy's protocol around it."""
        return _within(self.description)

    @property
    def arguments(self) -> list[str]:
        """The parts of `inner`, its kind first."""
        return re.split(r"(?<!\\):", self.inner)

    @property
    def domain(self) -> str | None:
        """The address family that a `systemd:` endpoint names."""
        kind, *rest = self.arguments
        if kind.lower() != "systemd":
            return None
        named = [part.partition("=")[2] for part in rest if part.startswith("domain=")]
        return (named or [part for part in rest if "=" not in part] or [""])[0]

    @property
    def plain_stream(self) -> bool:
        """Whether it is a TCP port without encryption of its own."""
        return self.arguments[0].lower() in _PLAIN or self.domain in ("INET", "INET6")

    @property
    def encrypted(self) -> bool:
        """Whether TLS, or better, protects what is said."""
        return self.tls or self.arguments[0].lower() in _ENCRYPTED

    @property
    def socket_path(self) -> Path | None:
        """The Unix socket that it makes."""
        kind, *rest = self.arguments
        if kind.lower() != "unix":
            return None
        named = [part.removeprefix("address=") for part in rest if part.startswith("address=")]
        return Path(re.sub(r"\\(.)", r"\1", (named or rest)[0]))


@dataclass(frozen=True)
class TLSChoice:
    """What the operator chose for TLS."""

    certificate: Path | None = None
    """The file with the chain; None means an authority of our own."""
    key: Path | None = None
    """The file with the private key; None means the certificate's."""
    names: tuple[str, ...] = ()
    """More names and addresses for a certificate of our own."""
    client_ca: Path | None = None
    """Authorities one of which has to have signed a client's certificate."""


def parse_listener(text: str) -> Listener:
    """Raises `ValueError` for what cannot be an endpoint description."""
    if not re.match(r"[a-zA-Z0-9_]+:.", text):
        raise ValueError(
            "not an endpoint; write for example tcp:8643:interface=127.0.0.1 or unix:/path:mode=600"
        )
    return Listener(_private(text))


def choose_tls(
    kind: str | None,
    certificate: Path | None,
    key: Path | None,
    names: Sequence[str],
    client_ca: Path | None,
) -> TLSChoice | None:
    """TLS as the options say, or None for no TLS. Raises `ValueError` when they contradict."""
    if kind is not None and certificate is not None:
        raise ValueError(
            "--tls self and --tls-cert contradict each other: choose a certificate of the "
            "server's own making, or yours."
        )
    if key is not None and certificate is None:
        raise ValueError("--tls-key needs --tls-cert, the certificate that it belongs to.")
    if names and kind is None:
        raise ValueError("--tls-name is for --tls self: it goes into a certificate made here.")
    if kind is None and certificate is None:
        if client_ca is not None:
            raise ValueError("--tls-client-ca needs TLS: give --tls-cert or --tls self, too.")
        return None
    return TLSChoice(certificate, key, tuple(names), client_ca)


def with_tls(listeners: Sequence[Listener]) -> tuple[Listener, ...]:
    """The same with TLS wherever it applies. Raises `ValueError` when that is nowhere."""
    if not any(listener.plain_stream for listener in listeners):
        raise ValueError(
            "TLS applies to tcp:, tcp6:, systemd: and haproxy:tcp: endpoints, and --listen names "
            "none of them. Drop the options for TLS, or listen on such an endpoint."
        )
    return tuple(
        Listener(listener.description, tls=listener.plain_stream) for listener in listeners
    )


def socket_path_problem(path: Path) -> str | None:
    """Why no Unix socket can be at *path*, if so (unix(7): its address has 108 bytes)."""
    length = len(os.fsencode(path))
    if length <= MAX_SOCKET_PATH:
        return None
    return (
        f"{path}: a socket's path has {MAX_SOCKET_PATH} bytes at most, and this one {length}. "
        "Name a shorter one with --control, or use --no-control."
    )


def is_local(address: IAddress) -> bool:
    """Whether only this machine can reach what listens at *address*."""
    host = getattr(address, "host", None)
    if host is None:
        return True  # A Unix socket.
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return False
    # Some versions of Python look into a mapped address by themselves, others do not.
    return (getattr(parsed, "ipv4_mapped", None) or parsed).is_loopback


def port_number(port: IListeningPort) -> int | None:
    """The TCP port, if it is one."""
    return getattr(port.getHost(), "port", None)


def _within(description: str) -> str:
    """The endpoint behind any number of proxy protocols."""
    while description.lower().startswith(_PROXIED):
        description = description[len(_PROXIED) :]
    return description


def _private(description: str) -> str:
    """A Unix socket is its owner's unless a mode says otherwise; Twisted's default is everybody."""
    kind, *rest = Listener(description).arguments
    if kind.lower() != "unix" or any(part.startswith("mode=") for part in rest):
        return description
    # The address comes first and the mode second, for those who leave out the names.
    positional = [part for part in rest if "=" not in part]
    named = any(part.startswith("address=") for part in rest)
    return description if len(positional) + named > 1 else description + ":mode=600"
