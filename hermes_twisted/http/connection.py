"""A connection before its WebSocket: HTTP/1.1, strictly, and little of it."""

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
    """Where a request came from."""

    host: str | None
    """An address; None for a Unix socket."""
    name: str
    """For logs."""


class ChannelSite(Protocol):
    """What a connection has to know of its site."""

    clock: IReactorTime
    limits: Limits
    journal: Journal
    meter: Meter
    pending: Pending
    proxies: TrustedProxies

    def log_tls_failure(self, what: str, peer: IAddress) -> None:
        """Say that somebody could not speak, or spoke the wrong protocol."""

    def log_refusal(self, what: str, peer: str) -> None:
        """Say who was refused, and why."""


class FrontRequest(Request):
    """A request whose body is bounded, and thrown away: no page reads it.

    twisted.web would keep it, spool it to disk when it is large, and parse it.
    """

    refusal: Refusal | None = None
    """Why it was refused, if it was."""
    _received = 0
    _refused = False

    def setHeader(self, name: AnyStr, value: AnyStr) -> None:
        """Set a header of the answer; no banner, which twisted.web sets by itself."""
        if name.lower() not in ("server", b"server"):
            super().setHeader(name, value)  # type: ignore[no-untyped-call]

    def came_from(self) -> Client:
        """The client: the peer, or whom it speaks for if it is a trusted proxy."""
        address = self.getClientAddress()  # type: ignore[no-untyped-call]
        host: str | None = getattr(address, "host", None)
        headers = self.requestHeaders.getRawHeaders(b"x-forwarded-for", [])
        client = self._channel.site.proxies.client_of(host, headers)
        if client is None:
            return Client(host, peer_name(address))
        return Client(client, f"{client} through {peer_name(address)}")

    def gotLength(self, length: int | None) -> None:
        """The declared length is known."""
        super().gotLength(0)  # type: ignore[no-untyped-call]
        if length is not None and length > self._limit:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body came."""
        self._received += len(data)
        if self._received > self._limit and not self._refused:
            self._refuse_body()

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete; void if it has been refused."""
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
    """A connection that has shown no key yet: its time is limited, and its place too."""

    site: ChannelSite
    _silent = True
    _head: HeadCheck
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the clock; twisted.web's own starts anew with every byte."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        tune(self.transport, self.site.limits.dead_after)
        self._head = HeadCheck(self.site.limits)
        # Twisted's own limits must not strike before ours.
        self.MAX_LENGTH = self.totalHeadersSize = self.site.limits.max_header
        self.maxHeaders = self.site.limits.max_header_lines
        self._restart_deadline()
        self.site.pending.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests; a line that is wrong already is not waited for."""
        if self._silent:
            self._silent = False
            if data.startswith(HANDSHAKE):
                # It would wait for an answer that HTTP does not have.
                self.site.log_tls_failure(TLS_TO_PLAIN_PORT, self.getPeer())  # type: ignore[no-untyped-call]
                self.loseConnection()  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]
        if self.line_mode and self._is_listening():
            self._refuse_head(self._head.part(self._buffer))

    def lineReceived(self, line: bytes) -> None:
        """A line of a head, looked at before twisted.web makes what it can of it."""
        if not self._refuse_head(self._head.line(line)):
            super().lineReceived(line)  # type: ignore[no-untyped-call]

    def lineLengthExceeded(self, line: bytes) -> None:
        """A line that alone is larger than a head may be."""
        self._refuse_head(HEAD_TOO_LARGE)

    def refuse(self, refused: Refusal) -> None:
        """Answer from below twisted.web, which has not got a request yet, and close."""
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
        """The client ended its half: it still gets the answers to what it has asked."""
        self.loseConnection()  # type: ignore[no-untyped-call]

    def writeConnectionLost(self) -> None:
        """We never end ours alone."""

    def requestDone(self, request: Request) -> None:
        """A page was written; the connection may ask for another."""
        self._restart_deadline()
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone before any upgrade."""
        self._leave()
        # By its name: only those who use TLS need OpenSSL here.
        if reason.check("OpenSSL.SSL.Error"):
            errors = getattr(reason.value, "args", ()) or ((),)
            self.site.log_tls_failure(explain(errors[0]), self.getPeer())  # type: ignore[no-untyped-call]
        elif self._silent and self._left_tls():
            self.site.log_tls_failure(LEFT_AT_ONCE, self.getPeer())  # type: ignore[no-untyped-call]
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def handed_over(self) -> None:
        """From here on it is Autobahn's connection."""
        self._leave()

    def drop(self) -> None:
        """End it now."""
        cast("ITCPTransport", self.transport).abortConnection()

    def _left_tls(self) -> bool:
        """Whether the client ended this, after its TLS hello. At a plain port there is none."""
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
