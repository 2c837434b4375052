"""`/api/ws`: admission, then Autobahn takes the connection over.

Everything that Autobahn or twisted.web would do with a secret in the URL (log it, echo
it, parse it again) is kept from happening here.
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
from ..websocket.link import Arrival, AttachFactory, AttachProtocol
from ..websocket.waiting_room import WaitingProtocol, WaitingRoom, looks_like_terminal
from .connection import ChannelSite, FrontChannel, FrontRequest
from .pages import refuse

#: The headers of a handshake that Autobahn needs, which admission has looked at.
_FOR_AUTOBAHN = frozenset(
    {b"host", b"upgrade", b"connection", b"sec-websocket-key", b"sec-websocket-version"}
)

#: Decides on a handshake from a source.
Decide = Callable[[Head, str], Admitted | Refusal]


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
        client = cast("FrontRequest", request).came_from()
        source = source_of(client.host)
        decision = self._decide(head, source)
        if isinstance(decision, Admitted):
            self._journal.admitted(decision, client.name)
            arrival = Arrival(decision.key, client.name, source, _extensions(request))
            return _upgrade(request, self._factory.build(arrival))
        held = self._hold(head, decision, source)
        if held is None:
            return refuse(request, decision)
        self._journal.refused(decision, client.name, held=True)
        told = f"{decision.status} {decision.code}, and its terminal is told so"
        cast("ChannelSite", request.site).log_refusal(told, client.name)
        return _upgrade(request, held)

    def _hold(self, head: Head, refused: Refusal, source: str) -> WaitingProtocol | None:
        """Out of courtesy: a place in the waiting room, for whom it is meant for."""
        room = self._waiting_room
        if room is None or not refused.holdable or not looks_like_terminal(head):
            return None
        return room.enter(refused, source)


def _extensions(request: Request) -> str:
    """What the client offers in `Sec-WebSocket-Extensions` (RFC 6455 §9.1)."""
    offered = request.requestHeaders.getRawHeaders(b"sec-websocket-extensions", [])
    return b",".join(offered).decode("latin-1")


def _upgrade(request: Request, protocol: AttachProtocol | WaitingProtocol) -> Any:
    # Autobahn parses the request once more, in its own way, and quotes it in its debug lines:
    # it sees neither the key nor anything else that it has no need of.
    request.uri = PATH
    for name, _values in list(request.requestHeaders.getAllRawHeaders()):
        if name.lower() not in _FOR_AUTOBAHN:
            request.requestHeaders.removeHeader(name)
    request.requestHeaders.setRawHeaders(b"connection", [b"Upgrade"])
    request.requestHeaders.setRawHeaders(b"upgrade", [b"websocket"])
    cast("FrontChannel", request.channel).handed_over()
    return WebSocketResource(_Ticket(protocol)).render(request)


@dataclass
class _Ticket:
    """Stands for a factory during one upgrade."""

    protocol: AttachProtocol | WaitingProtocol

    def buildProtocol(self, address: IAddress) -> AttachProtocol | WaitingProtocol:
        return self.protocol
