"""Clients behind a proxy: their address, from the PROXY header."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory

from .core.proxy_header import BadHeader, Source, take_header


class ProxiedProtocol(ProtocolWrapper):
    """Waits for a header; without a good one it ends the connection."""

    _held: bytes | None = b""
    _peer: IAddress | None = None

    def dataReceived(self, data: bytes) -> None:
        """Bytes came: the header, or what follows it."""
        if self._held is None:
            super().dataReceived(data)  # type: ignore[no-untyped-call]
            return
        self._held += data
        try:
            taken = take_header(self._held)
        except BadHeader:
            self._held = b""
            self.loseConnection()  # type: ignore[no-untyped-call]
            return
        if taken is not None:
            source, rest = taken
            self._held = None
            self._peer = _address(source)
            if rest:
                super().dataReceived(rest)  # type: ignore[no-untyped-call]

    def getPeer(self) -> IAddress:
        """The client, or the proxy as long as that has not named one."""
        if self._peer is not None:
            return self._peer
        peer: IAddress = super().getPeer()  # type: ignore[no-untyped-call]
        return peer


if TYPE_CHECKING:
    _Factory = WrappingFactory[ProxiedProtocol]
else:  # Twisted 24.11 takes no parameter there.
    _Factory = WrappingFactory


class ProxiedFactory(_Factory):
    """Makes those."""

    protocol = ProxiedProtocol
    noisy = False


def _address(source: Source | None) -> IAddress | None:
    if source is None:
        return None
    kind = IPv6Address if ":" in source.host else IPv4Address
    return kind("TCP", source.host, source.port)
