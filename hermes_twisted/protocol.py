"""Autobahn's callbacks on one side, a seat on the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.logger import Logger

from .compression import Compression
from .core.admission import Admitted
from .core.assembly import Assembly
from .core.budget import Budget
from .core.closing import CloseWatch
from .core.deflate import agree
from .core.limits import Limits
from .core.meter import Meter, NullMeter
from .core.seats import CLOSE_UNSUPPORTED, Seat
from .core.websocket import split_texts, text_frames
from .promptly import write_promptly
from .valve import Valve

#: RFC 6455 §7.4.1, and IANA's registry for 1013.
CLOSE_INVALID: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_TRY_AGAIN: Final = 1013

#: The limit that each code stands for, when it is ours.
_LIMIT_OF: Final = {
    CLOSE_POLICY: "max_fragments",
    CLOSE_TOO_BIG: "max_message",
    CLOSE_TRY_AGAIN: "unfinished",
}

#: Makes a seat for an admitted link.
OpenSeat = Callable[["AttachProtocol", Admitted], Seat]
#: Told when a link has ended.
CloseSeat = Callable[["AttachProtocol", Seat], None]


class AttachProtocol(WebSocketServerProtocol):
    """One open WebSocket: a `Link`. Made behind admission only."""

    factory: AttachFactory
    admitted: Admitted
    peer_name = ""
    offered_extensions = ""
    """What the client offers in `Sec-WebSocket-Extensions`."""
    takes_binary = False
    _log = Logger()
    # Autobahn would copy, and format for a debug line, all options for each connection.
    CONFIG_ATTRS = ()  # type: ignore[assignment]  # `AttachFactory` sets them at once.

    seat: Seat | None = None
    last_heard = 0.0
    """When the last byte came, by the reactor's clock."""
    _compression: Compression | None = None
    _pings = 0
    _owed_pong: bytes | None = None
    _watch: CloseWatch | None = None
    _last_call: IDelayedCall | None = None

    # What Autobahn calls.

    def connectionMade(self) -> None:
        """The connection has been taken over from the HTTP server."""
        super().connectionMade()
        self.last_heard = self.factory.clock.seconds()
        self._holds: set[str] = set()
        self._assembly = Assembly(self.factory.limits.max_fragments, self.factory.unfinished)

    def onConnect(self, request: Any) -> Any:
        """Agree on compression, if that is wanted; headers for the answer."""
        agreed = agree(self.offered_extensions) if self.factory.limits.compress else None
        if agreed is None:
            return None
        self._compression = Compression(agreed, self._room, self._cannot_inflate)
        return None, {"Sec-WebSocket-Extensions": agreed.response}

    def onOpen(self) -> None:
        """The handshake is done: take a seat."""
        self._perMessageCompress = self._compression  # type: ignore[assignment]
        # The HTTP channel that we took the connection from is still registered.
        transport = self._tcp()
        transport.unregisterProducer()
        self._valve = Valve(self._writable_again)
        transport.registerProducer(self._valve, True)
        self.seat = self.factory.open_seat(self, self.admitted)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client; once we have failed the connection, only its end counts."""
        self.last_heard = self.factory.clock.seconds()
        if not self.failedByMe:
            if self._is_between_messages():
                # Everyday messages: Autobahn's path costs ten times as much.
                texts, data = split_texts(data, self.factory.limits.max_message)
                for text in texts:
                    self.onMessage(text, False)
            if data:
                self._dataReceived(data)
                self._answer_last_ping()
            data = b""
        if self.failedByMe:
            self._await_close(data)

    def processData(self) -> bool:
        """Take the next step in what came; none after a violation: the rest would be misread."""
        return not self.failedByMe and super().processData()

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
        self._assembly.begin()
        if isBinary and not self.takes_binary:
            self._fail_connection(CLOSE_UNSUPPORTED, "only text messages are understood here")

    def onMessageFrameBegin(self, length: int) -> None:
        """A fragment begins."""
        super().onMessageFrameBegin(length)  # Which looks at the length.
        if not self._assembly.fragment():
            self._fail_connection(CLOSE_POLICY, "a message of too many fragments")

    def onMessageFrameData(self, payload: bytes) -> None:
        """A part of a fragment, inflated, as it comes."""
        if not (self.failedByMe or self._assembly.add(payload)):
            self._fail_connection(CLOSE_TRY_AGAIN, "too many unfinished messages at the moment")

    def onMessageFrameEnd(self) -> None:
        """A fragment is complete."""

    def onMessageEnd(self) -> None:
        """A message is complete."""
        if not self.failedByMe:
            self.onMessage(self._assembly.finish(), self.message_is_binary)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """One whole message; void once a close frame has been sent."""
        if self.seat is None or self.state != self.STATE_OPEN:
            return
        try:
            self.seat.received(payload)
        except Exception:
            # A bug of ours must not cost the client its connection (design, law 1).
            self._log.failure("a message could not be handled")

    def onPing(self, payload: bytes) -> None:
        """Answer at once, but of a flood only the latest (RFC 6455 §5.5.3)."""
        self._pings += 1
        if self.writable and self._pings <= self.factory.limits.pongs:
            self._pong(payload)
            return
        self._owed_pong = payload
        if self._pings > self.factory.limits.pongs and not self._valve.is_open:
            self._hold_input("pongs")

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """The client closes, or answers our close."""
        failed = super().onCloseFrame(code, reasonRaw)  # type: ignore[arg-type]
        if failed:
            self._end()  # It was a close all the same: each side has said its own.
        return failed

    def onCloseHandshakeTimeout(self) -> None:
        """The client has not answered our close."""
        self.factory.meter.count("limit", "close")
        super().onCloseHandshakeTimeout()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        self._stop_waiting()
        if self._last_call is not None and self._last_call.active():
            self._last_call.cancel()
        self._assembly.drop()
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

    def _fail_connection(self, code: int = CLOSE_POLICY, reason: str = "") -> None:
        if self.failedByMe:
            return  # The first violation decides.
        limit = _LIMIT_OF.get(code)
        self.factory.meter.count("limit" if limit else "violation", limit or str(code))
        self._assembly.drop()
        super()._fail_connection(code, reason)
        self._release_input()

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn would reset the connection even after a proper close.
        super()._closeConnection(abort and not self.wasClean)
        # What was written before still goes out, but a client that does not read has its time.
        self._last_call = self.factory.clock.callLater(self.factory.limits.close, self._too_late)

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Autobahn's own refusals quote the request; ours (`web.py`) come before it."""
        super().failHandshake("Bad handshake", 400)

    # After a violation.

    def _await_close(self, data: bytes) -> None:
        """Step over what still comes, until the client's close frame."""
        if self._watch is None:
            frame = self.current_frame
            rest = 0 if frame is None else frame.length - self.current_frame_masker.pointer()
            self._watch = CloseWatch(rest)
            data, self.data = self.data + data, b""
        if self._watch.feed(data):
            self._end()

    def _end(self) -> None:
        """Both close frames have gone: end TCP."""
        self._stop_waiting()
        self.wasClean = True
        self.dropConnection(abort=False)

    def _stop_waiting(self) -> None:
        if self.closeHandshakeTimeoutCall is not None:  # Autobahn lets it run on.
            self.closeHandshakeTimeoutCall.cancel()
            self.closeHandshakeTimeoutCall = None

    def _too_late(self) -> None:
        self.factory.meter.count("limit", "close")
        self.abort()

    # What `Compression` asks.

    def _room(self) -> int:
        """How much more the message may inflate to."""
        return min(
            self.factory.limits.max_message - len(self._assembly), self.factory.unfinished.left
        )

    def _cannot_inflate(self, too_large: bool) -> None:
        if not too_large:
            self._fail_connection(CLOSE_INVALID, "a compressed message is corrupt")
        elif self._room() < self.factory.limits.max_message - len(self._assembly):
            self._fail_connection(CLOSE_TRY_AGAIN, "too many unfinished messages at the moment")
        else:
            self._fail_connection(CLOSE_TOO_BIG, "a compressed message is too large")

    # What the seat calls: `Link`.

    @property
    def writable(self) -> bool:
        """See `Link`."""
        return self._valve.is_open and self.state == self.STATE_OPEN

    def send(self, payloads: list[bytes]) -> None:
        """See `Link`. Frames are made here: Autobahn's path costs several times more."""
        write_promptly(self._tcp(), self.make_frames(payloads))

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Headers and payloads in turn."""
        squeeze = self._compression.deflate if self._compression is not None else None
        return text_frames(payloads, squeeze)

    def pause_reading(self) -> None:
        """See `Link`."""
        self._hold_input("waiting_requests")

    def resume_reading(self) -> None:
        """See `Link`."""
        self._release_input("waiting_requests")

    def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        # sendClose refuses every code but 1000 and 3000-4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123], isReply=False)
            self._release_input()

    def abort(self) -> None:
        """See `Link`."""
        self._tcp().abortConnection()

    def ping(self) -> None:
        """Make the path carry something; whether a pong comes decides nothing."""
        if self.writable:
            self.sendPing()

    def _tcp(self) -> Any:
        """The transport: TCP, TLS or a Unix socket, with more than `ITransport` says."""
        return self.transport

    def _pong(self, payload: bytes) -> None:
        self.sendPong(payload)  # type: ignore[no-untyped-call]

    def _answer_last_ping(self) -> None:
        if self.writable:
            self._pings = 0
            pong, self._owed_pong = self._owed_pong, None
            if pong is not None:
                self._pong(pong)

    def _writable_again(self) -> None:
        self._answer_last_ping()
        if self.seat is not None:
            self.seat.flush()
        self._release_input("pongs")

    def _hold_input(self, limit: str) -> None:
        """Do not read the socket, because of this limit. Once closing, it is always read."""
        if self.state != self.STATE_OPEN or limit in self._holds:
            return
        self.factory.meter.count("limit", limit)
        if not self._holds:
            self._tcp().pauseProducing()
        self._holds.add(limit)

    def _release_input(self, limit: str | None = None) -> None:
        """This limit, or none any more, keeps us from reading the socket."""
        if self._holds:
            self._holds -= {limit} if limit else self._holds
            if not self._holds:
                self._tcp().resumeProducing()


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
        self.meter = meter or NullMeter()
        self.unfinished = Budget(limits.unfinished)
        self.open_seat = open_seat
        self.close_seat = close_seat
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
