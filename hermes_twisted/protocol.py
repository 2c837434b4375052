"""Autobahn's callbacks on one side, a seat on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IAddress, IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from .core.admission import Admitted
from .core.limits import Limits
from .core.meter import Meter, NullMeter
from .core.round_trips import RoundTrips
from .core.seats import CLOSE_POLICY, CLOSE_UNSUPPORTED, Seat
from .core.websocket import split_texts, text_frames
from .promptly import write_promptly

#: Makes a seat for an admitted link.
OpenSeat = Callable[["AttachProtocol", Admitted], Seat]
#: Told when a link has ended.
CloseSeat = Callable[["AttachProtocol", Seat], None]


@implementer(IPushProducer)
class Valve:
    """Open while the socket takes more; without it Autobahn buffers without end."""

    def __init__(self, opened: Callable[[], None]) -> None:
        self.is_open = True
        self._opened = opened

    def pauseProducing(self) -> None:
        """The socket's buffer is full."""
        self.is_open = False

    def resumeProducing(self) -> None:
        """It is empty again."""
        self.is_open = True
        self._opened()

    def stopProducing(self) -> None:
        """The connection is gone; `onClose` follows."""
        self.is_open = False


class AttachProtocol(WebSocketServerProtocol):
    """One open WebSocket: a `Link`. Made behind admission only."""

    factory: AttachFactory
    admitted: Admitted
    peer_name = ""
    source = ""
    """What limits are counted by: see `core.sources`."""
    _log = Logger()
    # Autobahn would copy, and format for a debug line, all options for each connection.
    CONFIG_ATTRS = ()  # type: ignore[assignment]  # `AttachFactory` sets them at once.

    seat: Seat | None = None
    last_heard = 0.0
    """When the last byte came, by the reactor's clock."""
    frames_in = 0
    """Messages of the client; `frames_out` are those to it."""
    bytes_in = 0
    """Bytes on the wire, framing and all; outwards without control frames."""
    frames_out = 0
    bytes_out = 0
    ended_by = ""
    """Who or what ended the link, in a word, once that is known."""
    close_code: int | None = None
    """Of the close frame that we sent or, if we sent none, that came; None if none did."""
    _fragments = 0
    _owed_pong: bytes | None = None

    # What Autobahn calls.

    def connectionMade(self) -> None:
        """The connection has been taken over from the HTTP server."""
        super().connectionMade()
        self.last_heard = self.factory.clock.seconds()
        self.round_trips = RoundTrips()

    def onOpen(self) -> None:
        """The handshake is done: take a seat."""
        # The HTTP channel that we took the connection from is still registered.
        transport = self._tcp()
        transport.unregisterProducer()
        self._valve = Valve(self._writable_again)
        self.bytes_in = 0  # The handshake does not count.
        transport.registerProducer(self._valve, True)
        self.seat = self.factory.open_seat(self, self.admitted)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client; void once we have failed the connection."""
        self.last_heard = self.factory.clock.seconds()
        self.bytes_in += len(data)
        if self.failedByMe:
            return
        if self._is_between_messages():
            # Everyday messages: Autobahn's path costs ten times as much.
            texts, data = split_texts(data, self.factory.limits.max_message)
            for text in texts:
                self.onMessage(text, False)
        if data:
            self._dataReceived(data)

    def _is_between_messages(self) -> bool:
        return (
            self.state == self.STATE_OPEN
            and not self.data
            and self.current_frame is None
            and not self.inside_message
        )

    def onMessageBegin(self, isBinary: bool) -> None:
        """A message begins: text, or it is not for us."""
        super().onMessageBegin(isBinary)
        self._fragments = 0
        if isBinary:
            self._fail_connection(CLOSE_UNSUPPORTED, "only text messages are understood here")

    def onMessageFrameBegin(self, length: int) -> None:
        """A fragment begins. Empty ones cost no bytes, so they are counted."""
        super().onMessageFrameBegin(length)
        self._fragments += 1
        if self._fragments > self.factory.limits.max_fragments and not self.failedByMe:
            self._fail_connection(CLOSE_POLICY, "a message of too many fragments")

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """One whole message."""
        if self.seat is None or self.failedByMe:
            return
        self.frames_in += 1
        try:
            self.seat.received(payload)
        except Exception:
            # A bug of ours must not cost the client its connection (design, law 1).
            self._log.failure("a message could not be handled")

    def onPing(self, payload: bytes) -> None:
        """Answer at once; to a client that does not read, only the latest (RFC 6455 §5.5.3)."""
        if self.writable:
            self._pong(payload)
        else:
            self._owed_pong = payload

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        if self.closeHandshakeTimeoutCall is not None:  # Autobahn lets it run on.
            self.closeHandshakeTimeoutCall.cancel()
            self.closeHandshakeTimeoutCall = None
        self.close_code = self.localCloseCode or (code if wasClean else None)
        self.ended_by = self.ended_by or self._ended_by(wasClean)
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.link_lost()
            self.factory.close_seat(self, seat)

    def _protocol_violation(self, reason: str) -> bool:
        super()._protocol_violation(reason)
        return True  # Parse no further: the rest would be misread.

    def _invalid_payload(self, reason: str) -> bool:
        super()._invalid_payload(reason)
        return True

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Autobahn's own refusals quote the request; ours (`web.py`) come before it."""
        super().failHandshake("Bad handshake", 400)

    # What the seat calls: `Link`.

    @property
    def writable(self) -> bool:
        """See `Link`."""
        return self._valve.is_open and self.state == self.STATE_OPEN

    def send(self, payloads: list[bytes]) -> None:
        """See `Link`. Frames are made here: Autobahn's path costs several times more."""
        frames = text_frames(payloads)
        self.frames_out += len(payloads)
        self.bytes_out += sum(map(len, frames))
        write_promptly(self._tcp(), frames)

    def pause_reading(self) -> None:
        """See `Link`."""
        self._tcp().pauseProducing()

    def resume_reading(self) -> None:
        """See `Link`."""
        self._tcp().resumeProducing()

    def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        # sendClose refuses every code but 1000 and 3000-4999.
        if self.state == self.STATE_OPEN:
            self.ended_by = "server"
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123], isReply=False)

    def abort(self) -> None:
        """See `Link`."""
        self._tcp().abortConnection()

    def ping(self) -> None:
        """Make the path carry something; whether a pong comes decides nothing."""
        if self.writable:
            self.sendPing(self.round_trips.ping(self.factory.clock.seconds()))

    def onPong(self, payload: bytes) -> None:
        """A ping of ours has come back."""
        seconds = self.round_trips.pong(payload, self.factory.clock.seconds())
        if seconds is not None:
            self.factory.meter.observe("ping", seconds)

    def _ended_by(self, clean: bool) -> str:
        if self.failedByMe:
            return "violation"
        return "client" if clean else "connection-lost"

    def _tcp(self) -> Any:
        """The transport: TCP, TLS or a Unix socket, with more than `ITransport` says."""
        return self.transport

    def _pong(self, payload: bytes) -> None:
        self.sendPong(payload)  # type: ignore[no-untyped-call]

    def _writable_again(self) -> None:
        pong, self._owed_pong = self._owed_pong, None
        if pong is not None and self.writable:
            self._pong(pong)
        if self.seat is not None:
            self.seat.flush()


class AttachFactory(WebSocketServerFactory):
    """Autobahn with the options that protect, and what its protocols need of us."""

    protocol = AttachProtocol  # type: ignore[assignment]
    noisy = False

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        open_seat: OpenSeat,
        close_seat: CloseSeat,
        meter: Meter | None = None,
    ) -> None:
        # `reactor` always: without it Autobahn imports, and so installs, the default one.
        super().__init__(reactor=clock, server="")  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.open_seat = open_seat
        self.close_seat = close_seat
        self.meter = meter or NullMeter()
        self.setProtocolOptions(  # type: ignore[no-untyped-call]
            versions=[13],
            webStatus=False,
            # Any call sets this to False unless it is named; admission has decided.
            allowNullOrigin=True,
            failByDrop=False,  # Or the close codes are lost.
            echoCloseCodeReason=True,
            maxFramePayloadSize=limits.max_message,
            maxMessagePayloadSize=limits.max_message,
            openHandshakeTimeout=limits.handshake,
            closeHandshakeTimeout=limits.close,
            autoPingInterval=0,  # The service pings, and never closes for a late pong.
            tcpNoDelay=True,
        )
        self._options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A protocol with the options set."""
        protocol = super().buildProtocol(addr)
        protocol.__dict__.update(self._options)
        return protocol
