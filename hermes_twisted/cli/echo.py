"""`hermes-attach echo`, for conformance tests: sends every message back.

The Autobahn test suite wants text and binary messages echoed. Only what a message means
differs from the server: handshake, framing, limits, options and sending are those of
`AttachProtocol`, `Seat` and `FrontSite`. There is no key, so it listens on 127.0.0.1 only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

import click
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from ..access.handshake import Head, check_handshake
from ..access.keys import Key
from ..access.refusals import Refusal
from ..access.rules import Admitted
from ..config.option import options_of
from ..http.site import FrontSite
from ..http.upgrade import AttachResource
from ..limits import Limits
from ..listen.endpoints import port_number
from ..listen.peers import TrustedProxies
from ..meter import NullMeter
from ..rpc import Frame
from ..seats.directory import Directory
from ..seats.journal import Journal, NullAudit
from ..seats.queues import make_outbox, make_settlements
from ..seats.seat import Seat
from ..server import settings
from ..server.reactor import ensure_asyncio
from ..server.settings import Settings
from ..shared.outbox import Outbox
from ..shared.settlements import Settlements
from ..websocket.link import AttachFactory, AttachProtocol
from .commands import Command, given_of, server_option, wrong_usage

_TEXT: Final = b"\x01"
_BINARY: Final = b"\x02"


_KEY: Final = Key("echo", b"")
_NO_JOURNAL: Final = Journal(NullAudit(), lambda: 0.0)


def _decide(head: Head, source: str) -> Admitted | Refusal:
    return check_handshake(head) or Admitted(_KEY)


class EchoChannel:
    """A channel without a backend."""

    def __init__(self, outbox: Outbox, settlements: Settlements) -> None:
        self.outbox = outbox
        self.settlements = settlements

    def submit(self, frame: Frame) -> None:
        """Do nothing: messages never become frames here."""

    def delivered(self, size: int) -> None:
        """Do nothing: there is no credit to give."""

    def close(self) -> None:
        """Close the outbox."""
        self.outbox.close()


class EchoSeat(Seat):
    """A seat whose outbox has payloads with their opcode in front."""

    def echo(self, opcode: bytes, payload: bytes) -> None:
        """Send *payload* back to the client."""
        self._channel.outbox.put(opcode + payload)
        self.flush()


class EchoProtocol(AttachProtocol):
    """The server's protocol, except that it sends messages back."""

    takes_binary = True

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send the message back."""
        if isinstance(self._seat, EchoSeat) and self.state == self.STATE_OPEN:
            self._seat.echo(_BINARY if isBinary else _TEXT, payload)

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Return WebSocket frames with the opcodes that the payloads begin with."""
        parts: list[bytes] = []
        for payload in payloads:
            header, body = super().make_frames([payload[1:]])
            parts += (bytes((header[0] & 0xF0 | payload[0],)) + header[1:], body)
        return parts


class EchoSite(FrontSite):
    """The server's site, with the WebSocket at every path."""

    def __init__(self, clock: IReactorTime, attach: AttachResource, limits: Limits) -> None:
        super().__init__(clock, limits, attach, lambda: (True, {}), _NO_JOURNAL, TrustedProxies())
        self._attach = attach

    def getResourceFor(self, request: Request) -> IResource:
        """Return the WebSocket, whatever the path."""
        return self._attach


def make_echo_site(
    clock: IReactorTime, limits: Limits, later: Callable[[Callable[[], None]], Any]
) -> EchoSite:
    """Return a site whose WebSockets echo; *later* calls in a later turn of the loop."""

    def open_channel(number: int, wake: Callable[[], None]) -> EchoChannel:
        def wake_later() -> None:
            later(wake)

        outbox = make_outbox(limits, wake_later)
        return EchoChannel(outbox, make_settlements(limits, wake_later))

    meter = NullMeter()
    directory = Directory(limits, open_channel, meter, EchoSeat)
    factory = AttachFactory(clock, limits, directory, meter, EchoProtocol)
    attach = AttachResource(factory, _decide, None, _NO_JOURNAL)
    return EchoSite(clock, attach, limits)


def listen(reactor: AsyncioSelectorReactor, port: int, limits: Limits) -> IListeningPort:
    """Echo on this port of 127.0.0.1; 0 is any free one."""
    site = make_echo_site(reactor, limits, lambda call: reactor.callLater(0, call))
    listening: IListeningPort = reactor.listenTCP(port, site, backlog=1024, interface="127.0.0.1")
    return listening


class EchoCommand(Command):
    """A command that takes the port and the limits of the server."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the options."""
        options = [settings.options()["port"], *options_of(Limits)]
        return [*map(server_option, options), *super().get_params(ctx)]


@click.command("echo", cls=EchoCommand)
@click.pass_context
def echo(ctx: click.Context, /, **given: Any) -> None:
    """Echo every message, for conformance tests. Listens on 127.0.0.1, without a key."""
    with wrong_usage():
        chosen = Settings.gather(given_of(ctx), {})
    reactor = ensure_asyncio()
    port = listen(reactor, chosen.port, chosen.limits)
    click.echo(f"echo: ws://127.0.0.1:{port_number(port)}/")
    sys.stdout.flush()
    reactor.run()
