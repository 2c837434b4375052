"""Where a client comes from: its address in logs, and whom a trusted proxy speaks for.

For logs and for limits that are counted by address. Never to decide that a client is on
this machine: what a proxy says is no proof of that.
"""
# MERGED: """What an operator writes, as the value that it means.
#
# Each function takes the text of one setting. Its `ValueError` says, in the operator's
# words, what would do.
# """

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress


def peer_name(address: IAddress | None) -> str:
    """An address for logs: `127.0.0.1:4711`, `[::1]:4711`, `unix`."""
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{_short(address.host)}]:{address.port}"
    return "unix"


def _short(host: str) -> str:
    """One text for one address: some come with all their zeros."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return host


Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

#: Stands for the clients of Unix sockets, which have no address.
UNIX: Final = "unix"
#: Addresses that are looked at, from the right; each proxy on the way adds one.
MAX_HOPS: Final = 16
#: Some proxies add the port.
_WITH_PORT: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?|(\d+\.\d+\.\d+\.\d+):\d{1,5}")


@dataclass(frozen=True)
class TrustedProxies:
    """Proxies whose word counts: networks, and whether Unix sockets do."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, texts: Iterable[str]) -> TrustedProxies:
        """Raises `ValueError` for what is neither an address, a network, nor `unix`."""
        networks = []
        unix = False
        for text in texts:
            if text == UNIX:
                unix = True
            else:
                networks.append(ipaddress.ip_network(text))
        return cls(tuple(networks), unix)

    def client_of(self, peer: str | None, forwarded: Iterable[bytes]) -> str | None:
        """The client behind *peer* (None: a Unix socket), as the headers *forwarded* tell.

        The rightmost address that is not itself a trusted proxy: what stands left of it
        was written by somebody we do not trust. None if the peer speaks for itself.
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
    match = _WITH_PORT.fullmatch(text)
    if match is not None:
        text = match[1] or match[2]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    # An IPv4 address in IPv6 clothes is what it is.
    return getattr(address, "ipv4_mapped", None) or address


def parse_proxy(value: str) -> str:
    """An address or a network, or `unix`: see `listen.peers`."""
    try:
        TrustedProxies.parse([value])
    except ValueError:
        raise ValueError(
            "must be an address or network such as 127.0.0.1 or 10.0.0.0/8, or unix"
        ) from None
    return value
