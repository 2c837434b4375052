"""The PROXY protocol: a header in which a proxy names the client of a connection.

Replaces Twisted's parser, which logs a traceback for some headers, refuses others that arrive in
pieces, and does not know `PROXY UNKNOWN`.
Specification: https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

#: Bytes of the longest line of version 1, with its CR LF (§2.1).
MAX_V1: Final = 107
#: The most bytes of a header of version 2. Extensions (TLVs, §2.2) are ignored.
MAX_V2: Final = 4096

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_UNKNOWN: Final = re.compile(rb"PROXY UNKNOWN(?: [\x20-\x7e]*)?\r\n")
_TCP: Final = re.compile(
    rb"PROXY TCP([46]) ([0-9a-fA-F.:]+) ([0-9a-fA-F.:]+) ([0-9]{1,5}) ([0-9]{1,5})\r\n"
)
#: Bytes of the addresses, by family and transport; streams only (§2.2).
_ADDRESSES: Final = {0x00: 0, 0x11: 12, 0x21: 36, 0x31: 216}
#: Bytes of one IP address, by family and transport.
_IP_SIZES: Final = {0x11: 4, 0x21: 16}


class BadHeader(Exception):
    """The bytes do not begin with a valid PROXY header."""


@dataclass(frozen=True)
class ProxiedClient:
    """The client of the proxy: an IP address in its shortest form, and a TCP port."""

    host: str
    port: int


def take_header(data: bytes) -> tuple[ProxiedClient | None, bytes] | None:
    """Parse a header; return the client, or None if it is unknown, and the bytes after the header.

    Returns None instead of the pair while the header is incomplete. Raises `BadHeader`.
    """
    if data[: len(_SIGNATURE)] == _SIGNATURE[: len(data)]:
        return _take_v2(data)
    if data[:6] == b"PROXY "[: len(data)]:
        return _take_v1(data)
    raise BadHeader


def _take_v1(data: bytes) -> tuple[ProxiedClient | None, bytes] | None:
    """Parse a header of version 1: a line of text (§2.1)."""
    end = data.find(b"\r\n", 0, MAX_V1)
    if end < 0:
        if len(data) >= MAX_V1:
            raise BadHeader
        return None
    line, rest = data[: end + 2], data[end + 2 :]
    if _UNKNOWN.fullmatch(line):
        return None, rest
    match = _TCP.fullmatch(line)
    if match is None or max(int(match[4]), int(match[5])) > 65535:
        raise BadHeader
    try:
        client, server = (ipaddress.ip_address(match[n].decode()) for n in (2, 3))
    except ValueError:
        raise BadHeader from None
    if {client.version, server.version} != {int(match[1])}:
        raise BadHeader
    return ProxiedClient(str(client), int(match[4])), rest


def _take_v2(data: bytes) -> tuple[ProxiedClient | None, bytes] | None:
    """Parse a header of version 2: binary (§2.2)."""
    if len(data) < 16:
        return None
    version, kind, length = data[12], data[13], int.from_bytes(data[14:16], "big")
    # 0x20, LOCAL: the proxy's own connection, such as a health check; it has no addresses.
    if version not in (0x20, 0x21) or 16 + length > MAX_V2:
        raise BadHeader
    if version == 0x21 and (kind not in _ADDRESSES or length < _ADDRESSES[kind]):
        raise BadHeader
    if len(data) < 16 + length:
        return None
    rest = data[16 + length :]
    size = _IP_SIZES.get(kind)
    if version == 0x20 or size is None:
        return None, rest
    host = ipaddress.ip_address(data[16 : 16 + size])
    port = int.from_bytes(data[16 + 2 * size : 18 + 2 * size], "big")
    return ProxiedClient(str(host), port), rest


class ProxiedProtocol(ProtocolWrapper):
    """Removes the header before the wrapped protocol; closes the connection if it is invalid."""

    _head: bytes | None = b""
    """The bytes of the header so far; None once it is complete."""
    _peer: IAddress | None = None

    def dataReceived(self, data: bytes) -> None:
        """Read the header, or pass on the bytes after it."""
        if self._head is None:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            return
        self._head += data
        try:
            taken = take_header(self._head)
        except BadHeader:
            self._head = b""
            self.loseConnection()  # type: ignore[no-untyped-call]
            return
        if taken is not None:
            client, rest = taken
            self._head = None
            self._peer = _address(client)
            if rest:
                super().dataReceived(rest)  # type: ignore[no-untyped-call]

    def getPeer(self) -> IAddress:
        """Return the client's address, or the proxy's while no client is known."""
        if self._peer is not None:
            return self._peer
        peer: IAddress = super().getPeer()  # type: ignore[no-untyped-call]
        return peer


if TYPE_CHECKING:
    _Factory = WrappingFactory[ProxiedProtocol]
else:  # Twisted 24.11 takes no parameter there.
    _Factory = WrappingFactory


class ProxiedFactory(_Factory):
    """Wraps a factory so that its connections begin with a PROXY header."""

    protocol = ProxiedProtocol
    noisy = False


def _address(client: ProxiedClient | None) -> IAddress | None:
    if client is None:
        return None
    kind = IPv6Address if ":" in client.host else IPv4Address
    return kind("TCP", client.host, client.port)
