"""An HTTP/1.1 connection, until a WebSocket replaces it: strict, and limited in time and size."""

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
from ..listen.tls_errors import CLOSED_AFTER_HELLO, HANDSHAKE, TLS_TO_PLAIN_PORT, explain
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
    """The address of a request's client."""

    host: str | None
    """The IP address; None for a Unix socket."""
    name: str
    """The address for people: the peer, or the client and the trusted proxy that forwarded it."""


class ChannelSite(Protocol):
    """The part of `FrontSite` that its connections use."""

    clock: IReactorTime
    limits: Limits
    journal: Journal
    meter: Meter
    pending: Pending
    proxies: TrustedProxies

    def log_tls_failure(self, explanation: str, peer: IAddress) -> None:
        """Log a failed TLS handshake, within a quota."""

    def log_refusal(self, reason: str, peer: str) -> None:
        """Log a refusal, within a quota."""


class FrontRequest(Request):
    """A request whose body is limited and discarded, because no page reads it.

    twisted.web would store the body, on disk if it is large, and parse it.
    """

    refusal: Refusal | None = None
    """The refusal that answers the request, if any, for the log and the audit log."""
    _received = 0
    _refused = False

    def setHeader(self, name: AnyStr, value: AnyStr) -> None:
        """Set a header of the response, except twisted.web's `Server` banner."""
        if name.lower() not in ("server", b"server"):
            super().setHeader(name, value)  # type: ignore[no-untyped-call]

    def find_client(self) -> Client:
        """Return the client: the peer, or the address that a trusted proxy forwards."""
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
        """Process the request, unless it was refused."""
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
    """A connection without a valid key so far. Its time, and the number of those, are limited."""

    site: ChannelSite
    _silent = True
    """Whether no byte has come yet."""
    _head: HeadCheck
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the deadline; twisted.web's own timeout would start anew with every byte."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        tune(self.transport, self.site.limits.dead_after)
        self._head = HeadCheck(self.site.limits)
        # Twisted's own limits must not strike before ours.
        self.MAX_LENGTH = self.totalHeadersSize = self.site.limits.max_header
        self.maxHeaders = self.site.limits.max_header_lines
        self._restart_deadline()
        self.site.pending.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Parse bytes of a request; refuse a line as soon as it is malformed."""
        if self._silent:
            self._silent = False
            if data.startswith(HANDSHAKE):
                # Close without an answer: a TLS client cannot read HTTP.
                self.site.log_tls_failure(TLS_TO_PLAIN_PORT, self.getPeer())  # type: ignore[no-untyped-call]
                self.loseConnection()  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self.line_mode and self._is_listening():
            self._refuse_head(self._head.part(self._buffer))

    def lineReceived(self, line: bytes) -> None:
        """Check a line of the head, before twisted.web parses it less strictly."""
        if not self._refuse_head(self._head.line(line)):
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line that exceeds the limit of the whole head."""
        self._refuse_head(HEAD_TOO_LARGE)

    def refuse(self, refused: Refusal) -> None:
        """Write a refusal and close, while twisted.web has no request object that could answer."""
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
        """Write a refusal, if there is one; return whether there was."""
        if refused is None:
            return False
        if refused is HEAD_TOO_LARGE:
            self.site.meter.count("limit", "header")
        self.refuse(refused)
        return True

    def readConnectionLost(self) -> None:
        """Close once all responses are written: the client has closed its half."""
        self.loseConnection()  # type: ignore[no-untyped-call]

    def writeConnectionLost(self) -> None:
        """Do nothing: the server never closes only its half."""

    def requestDone(self, request: Request) -> None:
        """Start the deadline anew for the next request on this connection."""
        self._restart_deadline()
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the deadline, and log a failed TLS handshake."""
        self._end_pending()
        # By name, so that OpenSSL is imported only if TLS is used.
        if reason.check("OpenSSL.SSL.Error"):
            errors = getattr(reason.value, "args", ()) or ((),)
            self.site.log_tls_failure(explain(errors[0]), self.getPeer())  # type: ignore[no-untyped-call]
        elif self._silent and self._closed_after_hello():
            self.site.log_tls_failure(CLOSED_AFTER_HELLO, self.getPeer())  # type: ignore[no-untyped-call]
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def handed_over(self) -> None:
        """End the deadline: Autobahn has taken over the connection."""
        self._end_pending()

    def drop(self) -> None:
        """Abort the connection at once."""
        cast("ITCPTransport", self.transport).abortConnection()

    def _closed_after_hello(self) -> bool:
        """Return whether the client closed right after its TLS hello; False on a plain port."""
        transport: object = self.transport
        if not isinstance(transport, TLSMemoryBIOProtocol) or transport.disconnecting:
            return False
        return transport.getHandle().client_random() is not None

    def _restart_deadline(self) -> None:
        """Drop the connection `handshake_timeout` seconds from now, unless it is cancelled."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.site.clock.callLater(
            self.site.limits.handshake_timeout, self._handshake_timed_out
        )

    def _handshake_timed_out(self) -> None:
        self._deadline = None
        self.site.meter.count("limit", "handshake")
        self.drop()

    def _end_pending(self) -> None:
        """Cancel the deadline, and stop counting the connection as pending."""
        self.site.pending.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
