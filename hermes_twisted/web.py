"""HTTP on the port: small pages, refusals in words, and the hand-over of upgrades.

Behind `Site` rather than on Autobahn's own server, for its limits on request heads
and for refusals with a body. Everything that Autobahn or twisted.web would do with
a secret in the URL (log it, echo it, parse it again) is kept from happening here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, cast

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IReactorTime,
)
from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site

from .channel import FrontChannel, FrontRequest, Pending, descriptor_share
from .core.admission import PATH, Admitted, Head, Refused
from .core.limits import Limits
from .core.meter import Meter, NullMeter
from .core.quota import Quota
from .protocol import AttachFactory, AttachProtocol

#: Refusals that are logged in a minute; more are counted.
LOGGED_REFUSALS = 10

NO_SUCH_PAGE = Refused(
    404,
    "There is nothing at this address.",
    "The terminal UI attaches at /api/ws: ws://HOST:PORT/api/ws?token=KEY.",
)
ONLY_GET = Refused(405, "This page can only be read.", "Use GET.", (("Allow", "GET, HEAD"),))
FULL = Refused(
    503,
    "As many terminals are attached as this server allows.",
    "Close one, or raise --max-connections on the server.",
    (("Retry-After", "10"),),
)

#: The headers of a handshake that Autobahn needs, which admission has looked at.
_FOR_AUTOBAHN = frozenset(
    {b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"}
)

#: Decides on a handshake, knowing all that the service knows.
Decide = Callable[[Head], Admitted | Refused]
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


def write_json(request: Request, status: int, body: dict[str, Any]) -> bytes:
    """A JSON page."""
    return _page(request, status, b"application/json", json.dumps(body).encode() + b"\n")


def refuse(request: Request, refused: Refused) -> bytes:
    """A refusal: RFC 9457 for programs, two lines for people at a terminal."""
    for name, value in refused.headers:
        request.setHeader(name.encode(), value.encode())
    accept = b",".join(request.requestHeaders.getRawHeaders(b"accept", []))
    if b"json" in accept:
        problem = {"title": refused.title, "status": refused.status, "detail": refused.advice}
        body = json.dumps(problem).encode() + b"\n"
        return _page(request, refused.status, b"application/problem+json", body)
    text = f"{refused.status}: {refused.title}\n{refused.advice}\n".encode()
    return _page(request, refused.status, b"text/plain; charset=utf-8", text)


def _page(request: Request, status: int, kind: bytes, body: bytes) -> bytes:
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    request.setHeader(b"content-type", kind)
    request.setHeader(b"content-length", str(len(body)).encode())
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    return b"" if request.method == b"HEAD" else body


class Page(Resource):
    """A page that one function writes."""

    isLeaf = True

    def __init__(self, write: Callable[[Request], bytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._write = write

    def render(self, request: Request) -> bytes:
        """GET and HEAD; nothing here changes anything."""
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, ONLY_GET)
        return self._write(request)


class AttachResource(Resource):
    """`/api/ws`: admission, then Autobahn."""

    isLeaf = True

    def __init__(self, factory: AttachFactory, decide: Decide) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._factory = factory
        self._decide = decide

    def render(self, request: Request) -> Any:
        """Refuse in words, or hand the connection over for good."""
        decision = self._decide(head_of(request))
        if isinstance(decision, Refused):
            return refuse(request, decision)
        extensions = request.requestHeaders.getRawHeaders(b"sec-websocket-extensions", [])
        ticket = _Ticket(
            self._factory,
            decision,
            peer_name(request.getClientAddress()),
            b",".join(extensions).decode("latin-1"),
        )
        # Autobahn parses the request once more, in its own way: it sees neither the key
        # nor anything else that it has no need of.
        request.uri = PATH
        for name, _values in list(request.requestHeaders.getAllRawHeaders()):
            if name.lower() not in _FOR_AUTOBAHN:
                request.requestHeaders.removeHeader(name)
        request.requestHeaders.setRawHeaders(b"connection", [b"Upgrade"])
        request.requestHeaders.setRawHeaders(b"upgrade", [b"websocket"])
        cast("FrontChannel", request.channel).handed_over()
        return WebSocketResource(ticket).render(request)


@dataclass
class _Ticket:
    """Stands for the factory during one upgrade, to hand the admission on."""

    factory: AttachFactory
    admitted: Admitted
    peer: str
    extensions: str

    def buildProtocol(self, address: IAddress) -> AttachProtocol:
        protocol = cast("AttachProtocol", self.factory.buildProtocol(address))
        protocol.admitted = self.admitted
        protocol.peer_name = self.peer
        protocol.offered_extensions = self.extensions
        return protocol


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
        meter: Meter | None = None,
    ) -> None:
        super().__init__(Resource(), timeout=limits.handshake, reactor=clock)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.meter = meter or NullMeter()
        self.pending = Pending(min(limits.pending, descriptor_share()), self.meter)
        self._refusals = Quota(LOGGED_REFUSALS, 60.0, clock.seconds)
        self._pages: dict[bytes, IResource] = {
            b"/": Page(_index),
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
            peer=peer_name(request.getClientAddress()),
            status=request.code,
            more=f" ({missed} more were not logged)" if missed else "",
        )


def _index(request: Request) -> bytes:
    text = (
        b"hermes-attach: a terminal UI of Hermes Agent attaches here.\n\n"
        b"On your machine:\n"
        b"  export HERMES_TUI_GATEWAY_URL='ws://THIS-HOST:PORT/api/ws?token=KEY'\n"
        b"  hermes --tui\n"
    )
    return _page(request, 200, b"text/plain; charset=utf-8", text)


def _write_readiness(request: Request, ready: bool, body: dict[str, Any]) -> bytes:
    return write_json(request, 200 if ready else 503, body)
