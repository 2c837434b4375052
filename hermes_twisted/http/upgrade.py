"""`/api/ws`: admission, then the hand-over of the connection to Autobahn.

The key is removed from the request first, so that neither Autobahn nor twisted.web logs, echoes or
parses it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from autobahn.twisted.resource import WebSocketResource
from twisted.internet.interfaces import IAddress
from twisted.web.resource import Resource
from twisted.web.server import Request

from ..access.handshake import PATH, Head
from ..access.refusals import Refusal
from ..access.rules import Admitted
from ..access.sources import source_of
from ..seats.journal import Journal
from ..websocket.link import AdmittedClient, AttachFactory, AttachProtocol
from ..websocket.waiting_room import WaitingProtocol, WaitingRoom, looks_like_terminal
from .connection import ChannelSite, FrontChannel, FrontRequest
from .pages import refuse

#: The headers that Autobahn needs. Admission has checked them.
_FOR_AUTOBAHN = frozenset(
    {b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"}
)

#: Decides on a handshake, by its head and its source.
Decide = Callable[[Head, str], Admitted | Refusal]


def head_of(request: Request) -> Head:
    """Return the request's head, for `access.rules`."""
    headers = {
        name.lower(): list(values) for name, values in request.requestHeaders.getAllRawHeaders()
    }
    return Head(request.method, request.uri, request.clientproto, headers)


class AttachResource(Resource):
    """The resource `/api/ws`: decides on handshakes, and upgrades admitted and held clients."""

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
        """Refuse with a page, hold in the waiting room, or hand the connection to Autobahn."""
        head = head_of(request)
        client = cast("FrontRequest", request).find_client()
        source = source_of(client.host)
        decision = self._decide(head, source)
        if isinstance(decision, Admitted):
            self._journal.admitted(decision, client.name)
            admitted = AdmittedClient(decision.key, client.name, source, _extensions(request))
            return _upgrade(request, self._factory.build(admitted))
        held = self._hold(head, decision, source)
        if held is None:
            return refuse(request, decision)
        self._journal.refused(decision, client.name, held=True)
        reason = f"{decision.status} {decision.code}, held in the waiting room"
        cast("ChannelSite", request.site).log_refusal(reason, client.name)
        return _upgrade(request, held)

    def _hold(self, head: Head, refused: Refusal, source: str) -> WaitingProtocol | None:
        """Return a protocol of the waiting room, None if the client cannot be held."""
        room = self._waiting_room
        if room is None or not refused.holdable or not looks_like_terminal(head):
            return None
        return room.enter(refused, source)


def _extensions(request: Request) -> str:
    """Return the client's `Sec-WebSocket-Extensions` (RFC 6455 §9.1)."""
    offered = request.requestHeaders.getRawHeaders(b"sec-websocket-extensions", [])
    return b",".join(offered).decode("latin-1")


def _upgrade(request: Request, protocol: AttachProtocol | WaitingProtocol) -> Any:
    """Hand the connection to Autobahn, with *protocol*; return the result of `render`."""
    # Autobahn parses the request again and quotes it in debug lines, so it gets neither the key
    # nor any header that it does not need.
    request.uri = PATH
    for name, _values in list(request.requestHeaders.getAllRawHeaders()):
        if name.lower() not in _FOR_AUTOBAHN:
            request.requestHeaders.removeHeader(name)
    request.requestHeaders.setRawHeaders(b"connection", [b"Upgrade"])
    request.requestHeaders.setRawHeaders(b"upgrade", [b"websocket"])
    cast("FrontChannel", request.channel).handed_over()
    return WebSocketResource(_SingleProtocolFactory(protocol)).render(request)


@dataclass
class _SingleProtocolFactory:
    """A factory for `WebSocketResource` that returns one given protocol."""

    protocol: AttachProtocol | WaitingProtocol

    def buildProtocol(self, address: IAddress) -> AttachProtocol | WaitingProtocol:
        """Return the protocol."""
        return self.protocol
