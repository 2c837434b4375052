"""Where to listen, and whether what is said there can be overheard."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from twisted.internet.interfaces import IAddress, IListeningPort

#: Endpoint kinds that encrypt.
_ENCRYPTED: Final = frozenset({"ssl", "tls", "onion"})


@dataclass(frozen=True)
class Listener:
    """An endpoint description in Twisted's syntax."""

    description: str

    @property
    def kind(self) -> str:
        """`tcp`, `ssl`, `unix`, `systemd`, `haproxy`, ..."""
        return self.description.partition(":")[0].lower()

    @property
    def encrypted(self) -> bool:
        """Whether TLS, or better, protects what is said."""
        return self.kind in _ENCRYPTED


def parse_listener(text: str) -> Listener:
    """Raises `ValueError` for what cannot be an endpoint description."""
    if not re.match(r"[a-zA-Z0-9_]+:.", text):
        raise ValueError(
            "not an endpoint; write for example tcp:8643:interface=127.0.0.1 or unix:/path:mode=600"
        )
    return Listener(text)


def is_local(address: IAddress) -> bool:
    """Whether only this machine can reach what listens at *address*."""
    host = getattr(address, "host", None)
    if host is None:
        return True  # A Unix socket.
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def port_number(port: IListeningPort) -> int | None:
    """The TCP port, if it is one."""
    return getattr(port.getHost(), "port", None)
