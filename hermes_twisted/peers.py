"""Clients' addresses, as they stand in logs."""

from __future__ import annotations

import ipaddress

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
