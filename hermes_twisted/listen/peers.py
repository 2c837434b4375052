"""Client addresses: formatting for logs, and the addresses that trusted proxies forward.

Use them for logs and limits by address only. A forwarded address does not prove that a client is on
this machine.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress


def peer_name(address: IAddress | None) -> str:
    """Format an address for logs: `127.0.0.1:4711`, `[::1]:4711`, `unix`."""
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{_short(address.host)}]:{address.port}"
    return "unix"


def _short(host: str) -> str:
    """Return the shortest form of an IP address: some are written with all their zeros."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Represents the clients of Unix sockets, which have no address.
UNIX: Final = "unix"
#: How many addresses of a header are evaluated, from the right; each proxy adds one.
MAX_HOPS: Final = 16
#: An address with a port, which some proxies add.
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5}")


@dataclass(frozen=True)
class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is trusted: by network, or through Unix sockets."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedProxies:
        """Parse addresses, networks and `unix`. Raises `ValueError` for anything else."""
        networks = []
        unix = False
        for text in texts:
            if text == UNIX:
                unix = True
            else:
                networks.append(ipaddress.ip_network(text))
        return cls(tuple(networks), unix)

    def client_of(self, peer: str | None, forwarded: Iterable[bytes]) -> str | None:
        """Resolve the client's address from `X-Forwarded-For`, trusting configured proxies only.

        Returns the rightmost address that is not a trusted proxy's: those left of it come from
        untrusted hosts. Returns None if *peer* is not trusted or forwards no address. *peer* is
        None for a Unix socket; *forwarded* has the values of all headers of that name.
        """
        if not (self.unix if peer is None else self._trusts(_address(peer))):
            return None
        client = None
        hops = b",".join(forwarded).split(b",")
        for hop in reversed(hops[-MAX_HOPS:]):
            address = _address(hop.decode("latin-1").strip())
            if address is None:
                break
            client = str(address)
            if not self._trusts(address):
                break
        return client

    def _trusts(self, address: _Address | None) -> bool:
        return address is not None and any(address in network for network in self.networks)


def _address(text: str) -> _Address | None:
    """Parse an IP address with or without a port, None for anything else."""
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # Unwrap IPv4-mapped IPv6 addresses.
    return getattr(address, "ipv4_mapped", None) or address


def parse_proxy(value: str) -> str:
    """Check and return a value of `--trust-forwarded-from`. Raises `ValueError`."""
    try:
        TrustedProxies.parse([value])
    except ValueError:
        raise ValueError(
            "must be an address or network such as 127.0.0.1 or 10.0.0.0/8, or unix"
        ) from None
    return value
