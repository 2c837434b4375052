"""HTTP on the port: which page, how much of a request, and the hand-over of upgrades.

Behind `Site` rather than on Autobahn's own server, for its limits on request heads
and for refusals with a body. Everything that Autobahn or twisted.web would do with
a secret in the URL (log it, echo it, parse it again) is kept from happening here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, AnyStr, cast

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, ITCPTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from .core.admission import PATH, Admitted, Head, Refused
from .core.courtesy import looks_like_terminal
from .core.forwarded import TrustedProxies
from .core.limits import Limits
from .core.quota import Quota
from .core.sources import source_of
from .pages import NO_SUCH_PAGE, Page, refuse, write_index, write_json
from .protocol import AttachFactory, AttachProtocol
from .waiting_room import WaitingProtocol, WaitingRoom

#: Refusals that are logged in a minute; more are counted.
LOGGED_REFUSALS = 10

BODY_TOO_LARGE = Refused(
    413, "body", "The request's body is too large.", "Send none: no page here reads it."
)
#: Decides on a handshake from a source.
Decide = Callable[[Head, str], Admitted | Refused]
#: Answers /ready: whether the backend serves, and the body.
Readiness = Callable[[], tuple[bool, dict[str, Any]]]


def peer_name(address: IAddress | None) -> str:
    """An address for logs: `127.0.0.1:4711`, `[::1]:4711`, `unix`."""
    if isinstance(address, IPv4Address):
        return f"{address.host}:{address.port}"
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    return "unix"


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
        self, factory: AttachFactory, decide: Decide, waiting_room: WaitingRoom | None
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._factory = factory
        self._decide = decide
        self._waiting_room = waiting_room

    def render(self, request: Request) -> Any:
        """Refuse in words, or hand the connection over for good."""
        head = head_of(request)
        address = request.getClientAddress()
        client = cast("FrontRequest", request).came_from()
        source = source_of(client.host)
        decision = self._decide(head, source)
        if isinstance(decision, Admitted):
            link = cast("AttachProtocol", self._factory.buildProtocol(address))
            link.admitted = decision
            link.source = source
            link.peer_name = client.name
            return _upgrade(request, link)
        held = self._hold(head, decision, source)
        return _upgrade(request, held) if held is not None else refuse(request, decision)

    def _hold(self, head: Head, refused: Refused, source: str) -> WaitingProtocol | None:
        """Out of courtesy: a place in the waiting room, for whom it is meant for."""
        room = self._waiting_room
        if room is None or not refused.holdable or not looks_like_terminal(head):
            return None
        return room.enter(refused, source)


def _upgrade(request: Request, protocol: AttachProtocol | WaitingProtocol) -> Any:
    # Autobahn parses the request once more: it need not see the key.
    request.uri = PATH
    request.requestHeaders.removeHeader(b"authorization")
    cast("FrontChannel", request.channel).handed_over()
    return WebSocketResource(_Ticket(protocol)).render(request)


@dataclass
class _Ticket:
    """Stands for a factory during one upgrade."""

    protocol: AttachProtocol | WaitingProtocol

    def buildProtocol(self, address: IAddress) -> AttachProtocol | WaitingProtocol:
        return self.protocol


@dataclass(frozen=True)
class Client:
    """Where a request came from."""

    host: str | None
    """An address; None for a Unix socket."""
    name: str
    """For logs."""


class FrontRequest(Request):
    """A request whose body is bounded before twisted.web would spool it to disk."""

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
        self._channel.loseConnection()  # type: ignore[no-untyped-call]


class FrontChannel(http.HTTPChannel):
    """A connection that has shown no key yet: its time is limited, and its place too."""

    site: FrontSite
    _deadline: IDelayedCall | None = None

    def connectionMade(self) -> None:
        """Start the clock; twisted.web's own starts anew with every byte."""
        super().connectionMade()  # type: ignore[no-untyped-call]
        self._restart_deadline()
        self.site.pending.add(self)

    def requestDone(self, request: Request) -> None:
        """A page was written; the connection may ask for another."""
        self._restart_deadline()
        super().requestDone(request)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone before any upgrade."""
        self._leave()
        super().connectionLost(reason)  # type: ignore[no-untyped-call]

    def handed_over(self) -> None:
        """From here on it is Autobahn's connection."""
        self._leave()

    def drop(self) -> None:
        """End it now."""
        cast("ITCPTransport", self.transport).abortConnection()

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
        proxies: TrustedProxies,
    ) -> None:
        super().__init__(Resource(), timeout=limits.handshake, reactor=clock)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.proxies = proxies
        self.pending = Pending(limits.pending)
        self._refusals = Quota(LOGGED_REFUSALS, 60.0, clock.seconds)
        self._pages: dict[bytes, IResource] = {
            b"/": Page(write_index),
            b"/health": Page(lambda request: write_json(request, 200, {"status": "ok"})),
            b"/ready": Page(lambda request: _write_readiness(request, *ready())),
            PATH: attach,
        }
        self._nothing = Page(lambda request: refuse(request, NO_SUCH_PAGE))

    def getResourceFor(self, request: Request) -> IResource:
        """By the path's bytes as they came: not decoded, no dot segments."""
        path, _, _query = request.uri.partition(b"?")
        return self._pages.get(path, self._nothing)

    def log(self, request: http.Request) -> None:
        """One line for a refusal, within a quota; never the query, where keys are."""
        if request.code < 400 or request.code == 404 or not self._refusals.spend():
            return
        missed = self._refusals.take_missed()
        self._log.info(
            "refused {peer}: {status}{more}",
            peer=cast("FrontRequest", request).came_from().name,
            status=request.code,
            more=f" ({missed} more were not logged)" if missed else "",
        )


def _write_readiness(request: Request, ready: bool, body: dict[str, Any]) -> bytes:
    return write_json(request, 200 if ready else 503, body)
