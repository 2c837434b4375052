"""HTTP on the port: which page, how much of a request, and the hand-over of upgrades.

Behind `Site` rather than on Autobahn's own server, for its limits on request heads
and for refusals with a body. Everything that Autobahn or twisted.web would do with
a secret in the URL (log it, echo it, parse it again) is kept from happening here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, AnyStr, cast

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProtocolNegotiationFactory,
    IReactorTime,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from zope.interface import classImplementsOnly, implementedBy

from .core.admission import PATH, Admitted, Head, Refused
from .core.courtesy import looks_like_terminal
from .core.journal import Journal
from .core.limits import Limits
from .core.quota import Quota
from .core.sources import source_of
from .core.tls_errors import HANDSHAKE, LEFT_AT_ONCE, TLS_TO_PLAIN_PORT, explain
from .pages import NO_SUCH_PAGE, Page, refuse, write_index, write_json
from .protocol import AttachFactory, AttachProtocol
from .waiting_room import WaitingProtocol, WaitingRoom

#: Refusals that are logged in a minute; more are counted.
LOGGED_REFUSALS = 10

BODY_TOO_LARGE = Refused(
    413, "body", "The request's body is too large.", "Send none: no page here reads it."
)
#: Handshakes with TLS gone wrong that are logged in a minute.
LOGGED_TLS_FAILURES = 10
#: The headers of a WebSocket handshake, which admission has checked.
_HANDSHAKE = frozenset(
    (b"host", b"origin", b"upgrade", b"connection", b"sec-websocket-key",
     b"sec-websocket-version", b"sec-websocket-extensions")
)  # fmt: skip

#: Decides on a handshake from a source.
Decide = Callable[[Head, str], Admitted | Refused]
#: Answers /ready: whether the backend serves, and the body.
Readiness = Callable[[], tuple[bool, dict[str, Any]]]


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


def head_of(request: Request) -> Head:
    """The request's head, as admission wants it."""
    headers = {
        name.lower(): list(values) for name, values in request.requestHeaders.getAllRawHeaders()
    }
    return Head(request.method, request.uri, request.clientproto, headers)


class AttachResource(Resource):
    """`/api/ws`: admission, then Autobahn."""

    isLeaf = True

    def __init__(
        self,
        factory: AttachFactory,
        decide: Decide,
        waiting_room: WaitingRoom | None,
        journal: Journal,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._journal = journal
        self._factory = factory
        self._decide = decide
        self._waiting_room = waiting_room

    def render(self, request: Request) -> Any:
        """Refuse in words, or hand the connection over for good."""
        head = head_of(request)
        address = request.getClientAddress()
        source = source_of(getattr(address, "host", None))
        decision = self._decide(head, source)
        if isinstance(decision, Admitted):
            link = cast("AttachProtocol", self._factory.buildProtocol(address))
            link.admitted = decision
            link.source = source
            link.peer_name = peer_name(address)
            self._journal.admitted(decision, link.peer_name)
            return _upgrade(request, link)
        held = self._hold(head, decision, source)
        if held is None:
            return refuse(request, decision)
        self._journal.refused(decision, peer_name(address), held=True)
        return _upgrade(request, held)

    def _hold(self, head: Head, refused: Refused, source: str) -> WaitingProtocol | None:
        """Out of courtesy: a place in the waiting room, for whom it is meant for."""
        room = self._waiting_room
        if room is None or not refused.holdable or not looks_like_terminal(head):
            return None
        return room.enter(refused, source)


def _upgrade(request: Request, protocol: AttachProtocol | WaitingProtocol) -> Any:
    # Autobahn parses the request once more, and quotes it in its debug lines: it need not see
    # the key, nor whatever else a client thought that we should have.
    request.uri = PATH
    for name, _values in list(request.requestHeaders.getAllRawHeaders()):
        if name.lower() not in _HANDSHAKE:
            request.requestHeaders.removeHeader(name)
    cast("FrontChannel", request.channel).handed_over()
    return WebSocketResource(_Ticket(protocol)).render(request)


@dataclass
class _Ticket:
    """Stands for a factory during one upgrade."""

    protocol: AttachProtocol | WaitingProtocol

    def buildProtocol(self, address: IAddress) -> AttachProtocol | WaitingProtocol:
        return self.protocol


class FrontRequest(Request):
    """A request whose body is bounded before twisted.web would spool it to disk."""

    refusal: Refused | None = None
    """Why it was refused, if it was."""
    _received = 0
    _refused = False

    def setHeader(self, name: AnyStr, value: AnyStr) -> None:
        """Set a header of the answer; no banner, which twisted.web sets by itself."""
        if name.lower() not in ("server", b"server"):
            super().setHeader(name, value)  # type: ignore[no-untyped-call]

    def gotLength(self, length: int | None) -> None:
        """The declared length is known."""
        super().gotLength(min(length or 0, self._limit))  # type: ignore[no-untyped-call]
        if length is not None and length > self._limit:
            self._refuse_body()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body came."""
        self._received += len(data)
        if self._received > self._limit and not self._refused:
            self._refuse_body()
        if not self._refused:
            super().handleContentChunk(data)  # type: ignore[no-untyped-call]

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The request is complete; void if it has been refused."""
        if not self._refused:
            super().requestReceived(command, path, version)  # type: ignore[no-untyped-call]

    @property
    def _limit(self) -> int:
        return self._channel.site.limits.body

    @property
    def _channel(self) -> FrontChannel:
        return cast("FrontChannel", self.channel)

    def _refuse_body(self) -> None:
        self._refused = True
        text = f"413: {BODY_TOO_LARGE.title}\n{BODY_TOO_LARGE.advice}\n".encode()
        cast("ITCPTransport", self._channel.transport).write(
            b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\n"
            b"Content-Type: text/plain\r\nContent-Length: %d\r\n\r\n%b" % (len(text), text)
        )
        peer = peer_name(self.getClientAddress())  # type: ignore[no-untyped-call]
        self._channel.site.journal.refused(BODY_TOO_LARGE, peer)
        self._channel.loseConnection()  # type: ignore[no-untyped-call]


class FrontChannel(http.HTTPChannel):
    """A connection that has shown no key yet: its time is limited, and its place too."""

    site: FrontSite
    _deadline: IDelayedCall | None = None
    _silent = True

    def connectionMade(self) -> None:
        """Start the clock; twisted.web's own starts anew with every byte."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._restart_deadline()
        self.site.pending.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes came, decrypted if they were encrypted."""
        if self._silent:
            self._silent = False
            if data.startswith(HANDSHAKE):
                # It would wait for an answer that HTTP does not have.
                self.site.log_tls_failure(TLS_TO_PLAIN_PORT, self.getPeer())  # type: ignore[no-untyped-call]
                self.loseConnection()  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]

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
        self._deadline = self.site.clock.callLater(self.site.limits.handshake, self._too_late)

    def _too_late(self) -> None:
        self._deadline = None
        self.drop()

    def _leave(self) -> None:
        self.site.pending.remove(self)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Pending:
    """Connections without a key. When there are too many, the oldest goes.

    Never the newest: else whoever holds them all open would keep the owner out.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._channels: dict[FrontChannel, None] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def add(self, channel: FrontChannel) -> None:
        """A connection has come."""
        self._channels[channel] = None
        if len(self._channels) > self._limit:
            # Out at once: many come in one turn of the loop, and each has to push one out.
            oldest = next(iter(self._channels))
            del self._channels[oldest]
            oldest.drop()

    def remove(self, channel: FrontChannel) -> None:
        """It has gone, or shown a key."""
        self._channels.pop(channel, None)


class FrontSite(Site):
    """The pages and `/api/ws`, each at one exact path."""

    protocol = FrontChannel  # type: ignore[assignment]  # Plain HTTP/1.1: an upgrade over HTTP/2 would fail.
    requestFactory = FrontRequest
    displayTracebacks = False
    noisy = False
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        attach: AttachResource,
        ready: Readiness,
        journal: Journal,
        pages: Mapping[bytes, IResource] | None = None,
    ) -> None:
        """*pages*: more of them, by their paths."""
        super().__init__(Resource(), timeout=limits.handshake, reactor=clock)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.pending = Pending(limits.pending)
        self.journal = journal
        self._refusals = Quota(LOGGED_REFUSALS, 60.0, clock.seconds)
        self._tls_failures = Quota(LOGGED_TLS_FAILURES, 60.0, clock.seconds)
        self._pages: dict[bytes, IResource] = {
            b"/": Page(write_index),
            b"/health": Page(lambda request: write_json(request, 200, {"status": "ok"})),
            b"/ready": Page(lambda request: _write_readiness(request, *ready())),
            PATH: attach,
            **(pages or {}),
        }
        self._nothing = Page(lambda request: refuse(request, NO_SUCH_PAGE))

    def getResourceFor(self, request: Request) -> IResource:
        """By the path's bytes as they came: not decoded, no dot segments."""
        path, _, _query = request.uri.partition(b"?")
        return self._pages.get(path, self._nothing)

    def log_tls_failure(self, what: str, peer: IAddress) -> None:
        """One line for a handshake that could not be, within a quota."""
        if self._tls_failures.spend():
            missed = self._tls_failures.take_missed()
            self._log.info(
                "{what} ({peer}){more}",
                what=what,
                peer=peer_name(peer),
                more=f" ({missed} more were not logged)" if missed else "",
            )

    def log(self, request: http.Request) -> None:
        """One line for a refusal, within a quota; never the query, where keys are."""
        refusal = cast("FrontRequest", request).refusal
        if refusal is not None:
            self.journal.refused(refusal, peer_name(request.getClientAddress()))
        if request.code < 400 or request.code == 404 or not self._refusals.spend():
            return
        missed = self._refusals.take_missed()
        self._log.info(
            "refused {peer}: {status}{more}",
            peer=peer_name(request.getClientAddress()),
            status=request.code,
            more=f" ({missed} more were not logged)" if missed else "",
        )


# With `h2` installed twisted.web would offer that in TLS (RFC 7301), and an upgrade over it
# would fail. A server that offers nothing is asked for HTTP/1.1.
classImplementsOnly(FrontSite, implementedBy(Site) - IProtocolNegotiationFactory)  # type: ignore[no-untyped-call]


def _write_readiness(request: Request, ready: bool, body: dict[str, Any]) -> bytes:
    return write_json(request, 200 if ready else 503, body)
