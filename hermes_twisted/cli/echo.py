"""For conformance tests: every message comes back, through the protocol of the product.

The Autobahn test suite wants text and binary messages echoed. Only what a message means
differs here: handshake, framing, limits, options and the way out are those of
`AttachProtocol`, `Seat` and `FrontSite`. There is no key, so it listens on 127.0.0.1 only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IListeningPort, IReactorTime
from twisted.python import usage
from twisted.web.resource import IResource
from twisted.web.server import Request

from ..access.handshake import Head, check_handshake
from ..access.keys import Key
from ..access.refusals import Refusal
from ..access.rules import Admitted
from ..http.site import FrontSite
from ..http.upgrade import AttachResource
from ..limits import Limits
from ..listen.peers import TrustedProxies
from ..meter import NullMeter
from ..rpc import Frame
from ..seats.directory import Directory
from ..seats.journal import Journal, NullAudit
from ..seats.queues import make_outbox, make_settlements
from ..seats.seat import Seat
from ..server.options import DEFAULT_PORT, usage_rows
from ..server.settings import Settings
from ..shared.outbox import Outbox
from ..shared.settlements import Settlements
from ..websocket.link import AttachFactory, AttachProtocol

_PARAMETERS, _FLAGS = usage_rows()

_TEXT: Final = b"\x01"
_BINARY: Final = b"\x02"


_KEY: Final = Key("echo", b"")
_NOBODY_NOTES: Final = Journal(NullAudit(), lambda: 0.0)


def _decide(head: Head, source: str) -> Admitted | Refusal:
    return check_handshake(head) or Admitted(_KEY)


class EchoChannel:
    """A backend's end that never says anything by itself."""

    def __init__(self, outbox: Outbox, settlements: Settlements) -> None:
        self.outbox = outbox
        self.settlements = settlements

    def submit(self, frame: Frame) -> None:
        """See `Channel`."""

    def delivered(self, size: int) -> None:
        """See `Channel`."""

    def close(self) -> None:
        """See `Channel`."""
        self.outbox.close()


class EchoSeat(Seat):
    """Puts what comes where a backend's frames would be put, with its opcode in front."""

    def echo(self, opcode: bytes, payload: bytes) -> None:
        """The client gets *payload* back."""
        self._channel.outbox.put(opcode + payload)
        self.flush()


class EchoProtocol(AttachProtocol):
    """The product's protocol but for its message hooks."""

    takes_binary = True

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Send it back."""
        if isinstance(self._seat, EchoSeat) and self.state == self.STATE_OPEN:
            self._seat.echo(_BINARY if isBinary else _TEXT, payload)

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Frames with the opcodes that the payloads begin with."""
        parts: list[bytes] = []
        for payload in payloads:
            header, body = super().make_frames([payload[1:]])
            parts += (bytes((header[0] & 0xF0 | payload[0],)) + header[1:], body)
        return parts


class EchoSite(FrontSite):
    """The product's site, with the WebSocket at every path."""

    def __init__(self, clock: IReactorTime, attach: AttachResource, limits: Limits) -> None:
        super().__init__(clock, limits, attach, lambda: (True, {}), _NOBODY_NOTES, TrustedProxies())
        self._attach = attach

    def getResourceFor(self, request: Request) -> IResource:
        """The WebSocket."""
        return self._attach


def make_echo_site(
    clock: IReactorTime, limits: Limits, later: Callable[[Callable[[], None]], Any]
) -> EchoSite:
    """A site whose WebSockets echo; *later* calls in a later turn of the loop."""

    def open_channel(number: int, wake: Callable[[], None]) -> EchoChannel:
        def wake_later() -> None:
            later(wake)

        outbox = make_outbox(limits, wake_later)
        return EchoChannel(outbox, make_settlements(limits, wake_later))

    meter = NullMeter()
    directory = Directory(limits, open_channel, meter, EchoSeat)
    factory = AttachFactory(clock, limits, directory, meter, EchoProtocol)
    attach = AttachResource(factory, _decide, None, _NOBODY_NOTES)
    return EchoSite(clock, attach, limits)


class _EchoOptions(usage.Options):
    synopsis = "[options]"
    longdesc = "Echo every message, for conformance tests. Listens on 127.0.0.1, without a key."
    optParameters = _PARAMETERS
    optFlags = _FLAGS


def read_options(arguments: Sequence[str]) -> tuple[int, Limits]:
    """The port and the limits that *arguments* name, which are options of the product.

    Raises `usage.UsageError` and `Problem`.
    """
    options = _EchoOptions()  # type: ignore[no-untyped-call]
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    given = {name: value for name, value in options.items() if value not in (None, 0)}
    limits = Settings.gather(given, {}).limits
    return int(given.get("port", DEFAULT_PORT)), limits


def listen(reactor: AsyncioSelectorReactor, port: int, limits: Limits) -> IListeningPort:
    """Echo on this port of 127.0.0.1."""
    site = make_echo_site(reactor, limits, lambda call: reactor.callLater(0, call))
    listening: IListeningPort = reactor.listenTCP(port, site, backlog=1024, interface="127.0.0.1")
    return listening
