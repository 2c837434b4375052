"""A connection before its WebSocket: strict HTTP/1.1, within limits of time and size."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import AnyStr, Protocol, cast

from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IHalfCloseableProtocol,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.server import Request
from zope.interface import implementer

from ..access.refusals import Refusal
from ..limits import Limits
from ..listen.peers import TrustedProxies, peer_name
from ..listen.tls_errors import HANDSHAKE, LEFT_AT_ONCE, TLS_TO_PLAIN_PORT, explain
from ..meter import Meter
from ..seats.journal import Journal
from ..tcp import tune
from .head import HEAD_TOO_LARGE, HeadCheck
from .pending import Pending

BODY_TOO_LARGE = Refusal(
    413, "body", "The request's body is too large.", "Send none: no page here reads it."
)


@dataclass(frozen=True)
class Client:
    """The client of a request, as far as it is known."""

    host: str | None
    """Its IP address; None for a Unix socket."""
    name: str
    """Its address for people: the peer, or the client and the proxy that it came through."""


class ChannelSite(Protocol):
    """What a connection needs of its site."""

    clock: IReactorTime
    limits: Limits
    journal: Journal
    meter: Meter
    pending: Pending
    proxies: TrustedProxies

    def log_tls_failure(self, what: str, peer: IAddress) -> None:
        """Log a failed TLS handshake, within a quota."""

    def log_refusal(self, what: str, peer: str) -> None:
        """Log a refusal, within a quota."""


class FrontRequest(Request):
    """A request whose body is bounded and discarded, because no page reads it.

    twisted.web would keep it, spool it to disk when it is large, and parse it.
    """

    refusal: Refusal | None = None
    """The refusal that answers it, if it was refused."""
    _received = 0
    _refused = False

    def setHeader(self, name: AnyStr, value: AnyStr) -> None:
        """Set a header of the response; twisted.web's own `Server` banner is left out."""
        if name.lower() not in ("server", b"server"):
            super().setHeader(name, value)  # type: ignore[no-untyped-call]

    def came_from(self) -> Client:
        """Return the client: the peer, or, behind a trusted proxy, the address that it forwards."""
        address = self.getClientAddress()  # type: ignore[no-untyped-call]
        host: str | None = getattr(address, "host", None)
        headers = self.requestHeaders.getRawHeaders(b"x-forwarded-for", [])
        client = self._channel.site.proxies.client_of(host, headers)
        if client is None:
            return Client(host, peer_name(address))
        return Client(client, f"{client} through {peer_name(address)}")

    def gotLength(self, length: int | None) -> None:
        """Refuse a request that declares a body above the limit."""
        super().gotLength(0)  # type: ignore[no-untyped-call]
        if length is not None and length > self._limit:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """Count and discard a piece of the body; refuse the request above the limit."""
        self._received += len(data)
        if self._received > self._limit and not self._refused:
            self._refuse_body()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process the request, unless it has been refused."""
        if not self._refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    @property
    def _limit(self) -> int:
        return self._channel.site.limits.max_body

    @property
    def _channel(self) -> FrontChannel:
        return cast("FrontChannel", self.channel)

    def _refuse_body(self) -> None:
        self._refused = True
        self._channel.site.meter.count("limit", "body")
        self._channel.refuse(BODY_TOO_LARGE)


@implementer(IHalfCloseableProtocol)
class FrontChannel(http.HTTPChannel):
    """A connection that has not shown a key yet: its time is limited, and so is their number."""

    site: ChannelSite
    _silent = True
    _head: HeadCheck
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the deadline. twisted.web's own would start anew with every byte."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        tune(self.transport, self.site.limits.dead_after)
        self._head = HeadCheck(self.site.limits)
        # Twisted's own limits must not strike before ours.
        self.MAX_LENGTH = self.totalHeadersSize = self.site.limits.max_header
        self.maxHeaders = self.site.limits.max_header_lines
        self._restart_deadline()
        self.site.pending.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Parse bytes of a request; refuse an incomplete line that is malformed already."""
        if self._silent:
            self._silent = False
            if data.startswith(HANDSHAKE):
                # A TLS client would wait for an answer that HTTP does not have.
                self.site.log_tls_failure(TLS_TO_PLAIN_PORT, self.getPeer())  # type: ignore[no-untyped-call]
                self.loseConnection()  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self.line_mode and self._is_listening():
            self._refuse_head(self._head.part(self._buffer))

    def lineReceived(self, line: bytes) -> None:
        """Check a line of the head strictly, before twisted.web parses it leniently."""
        if not self._refuse_head(self._head.line(line)):
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that exceeds the limit of the whole head."""
        self._refuse_head(HEAD_TOO_LARGE)

    def refuse(self, refused: Refusal) -> None:
        """Write a refusal and close, while twisted.web has no request yet that could answer."""
        text = f"{refused.status}: {refused.title}\n{refused.advice}\n".encode()
        phrase = HTTPStatus(refused.status).phrase.encode()
        cast("ITCPTransport", self.transport).write(
            b"HTTP/1.1 %d %b\r\nConnection: close\r\nContent-Type: text/plain; charset=utf-8\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (refused.status, phrase, len(text), text)
        )
        self.site.journal.refused(refused, peer_name(self.getPeer()))  # type: ignore[no-untyped-call]
        self.loseConnection()  # type: ignore[no-untyped-call]

    def _is_listening(self) -> bool:
        return self.transport is not None and not getattr(self.transport, "disconnecting", False)

    def _refuse_head(self, refused: Refusal | None) -> bool:
        if refused is None:
            return False
        if refused is HEAD_TOO_LARGE:
            self.site.meter.count("limit", "header")
        self.refuse(refused)
        return True

    def readConnectionLost(self) -> None:
        """Close once all answers are written: the client has ended its half."""
        self.loseConnection()  # type: ignore[no-untyped-call]

    def writeConnectionLost(self) -> None:
        """Do nothing: we never close our half alone."""

    def requestDone(self, request: Request) -> None:
        """Start the deadline anew for the next request on this connection."""
        self._restart_deadline()
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free the place, and log a failed TLS handshake."""
        self._leave()
        # Checked by name, so that OpenSSL is imported only where TLS is used.
        if reason.check("OpenSSL.SSL.Error"):
            errors = getattr(reason.value, "args", ()) or ((),)
            self.site.log_tls_failure(explain(errors[0]), self.getPeer())  # type: ignore[no-untyped-call]
        elif self._silent and self._left_tls():
            self.site.log_tls_failure(LEFT_AT_ONCE, self.getPeer())  # type: ignore[no-untyped-call]
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def handed_over(self) -> None:
        """Free the place and the deadline: Autobahn has taken the connection over."""
        self._leave()

    def drop(self) -> None:
        """Abort the connection."""
        cast("ITCPTransport", self.transport).abortConnection()

    def _left_tls(self) -> bool:
        """Return whether the client closed right after its TLS hello. Never at a plain port."""
        transport: object = self.transport
        if not isinstance(transport, TLSMemoryBIOProtocol) or transport.disconnecting:
            return False
        return transport.getHandle().client_random() is not None

    def _restart_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.site.clock.callLater(
            self.site.limits.handshake_timeout, self._too_late
        )

    def _too_late(self) -> None:
        self._deadline = None
        self.site.meter.count("limit", "handshake")
        self.drop()

    def _leave(self) -> None:
        self.site.pending.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
