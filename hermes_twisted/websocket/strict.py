"""Autobahn without its tolerances: RFC 6455 to the letter, within limits, to a clean end.

Knows nothing of seats: what a message means is `protocol.py`'s.
"""

from __future__ import annotations

from typing import Any, Final

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime

from ..limits import Limits
from ..meter import Meter, NullMeter
from .assembly import Assembly, Budget
from .closing import CloseWatch
from .deflate import Compression, agree

#: RFC 6455 §7.4.1, and IANA's registry for 1013.
CLOSE_UNSUPPORTED: Final = 1003
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
_BUSY: Final = "too many unfinished messages at the moment"


class StrictProtocol(WebSocketServerProtocol):
    """One WebSocket. A subclass gets whole messages and pings, and says when it is over."""

    factory: StrictFactory
    offered_extensions = ""
    """What the client offers in `Sec-WebSocket-Extensions`."""
    takes_binary = False
    # Autobahn would copy, and format for a debug line, all options for each connection.
    CONFIG_ATTRS = ()  # type: ignore[assignment]  # `StrictFactory` sets them at once.

    compression: Compression | None = None
    _watch: CloseWatch | None = None
    _last_call: IDelayedCall | None = None

    # The handshake.

    def connectionMade(self) -> None:
        """The connection has been taken over from the HTTP server."""
        super().connectionMade()
        self._holds: set[str] = set()
        self._assembly = Assembly(self.factory.limits.max_fragments, self.factory.unfinished)

    def onConnect(self, request: Any) -> Any:
        """Agree on compression, if that is wanted; headers for the answer."""
        agreed = agree(self.offered_extensions) if self.factory.limits.compress else None
        if agreed is None:
            return None
        self.compression = Compression(agreed, self._room, self._cannot_inflate)
        return None, {"Sec-WebSocket-Extensions": agreed.response}

    def onOpen(self) -> None:
        """The handshake is done."""
        self._perMessageCompress = self.compression  # type: ignore[assignment]

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Autobahn's own refusals quote the request; ours (`web.py`) come before it."""
        super().failHandshake("Bad handshake", 400)

    # What comes.

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client; once we have failed the connection, only its end counts."""
        if not self.failedByMe:
            self._dataReceived(data)
            data = b""
        if self.failedByMe:
            self._await_close(data)

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
            self._fail_connection(CLOSE_TRY_AGAIN, _BUSY)

    def onMessageFrameEnd(self) -> None:
        """A fragment is complete."""

    def onMessageEnd(self) -> None:
        """A message is complete."""
        if not self.failedByMe:
            self.onMessage(self._assembly.finish(), self.message_is_binary)

    def pause_input(self, limit: str) -> None:
        """Do not read the socket, because of this limit. Once closing, it is always read."""
        if self.state != self.STATE_OPEN or limit in self._holds:
            return
        self.factory.meter.count("limit", limit)
        if not self._holds:
            self.tcp.pauseProducing()
        self._holds.add(limit)

    @property
    def input_paused(self) -> bool:
        """Whether the socket is not read: then its silence is ours."""
        return bool(self._holds)

    def resume_input(self, limit: str | None = None) -> None:
        """This limit, or none any more, keeps us from reading the socket."""
        if self._holds:
            self._holds -= {limit} if limit else self._holds
            if not self._holds:
                self.tcp.resumeProducing()

    # What `Compression` asks.

    def _room(self) -> int:
        """How much more the message may inflate to."""
        return min(self._own_room, self.factory.unfinished.left)

    @property
    def _own_room(self) -> int:
        return self.factory.limits.max_message - len(self._assembly)

    def _cannot_inflate(self, too_large: bool) -> None:
        if not too_large:
            self._fail_connection(CLOSE_INVALID, "a compressed message is corrupt")
        elif self.factory.unfinished.left < self._own_room:
            self._fail_connection(CLOSE_TRY_AGAIN, _BUSY)
        else:
            self._fail_connection(CLOSE_TOO_BIG, "a compressed message is too large")

    # The end.

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        # sendClose refuses every code but 1000 and 3000-4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123], isReply=False)
            self.resume_input()

    def abort(self) -> None:
        """Drop the connection now."""
        self.tcp.abortConnection()

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

    @property
    def tcp(self) -> Any:
        """The transport: TCP, TLS or a Unix socket, with more than `ITransport` says."""
        return self.transport

    def _protocol_violation(self, reason: str) -> bool:
        super()._protocol_violation(reason)
        return True  # Parse no further.

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
        self.resume_input()

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

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn would reset the connection even after a proper close.
        super()._closeConnection(abort and not self.wasClean)
        # What was written before still goes out, but a client that does not read has its time.
        self._last_call = self.factory.clock.callLater(
            self.factory.limits.close_timeout, self._too_late
        )

    def _stop_waiting(self) -> None:
        if self.closeHandshakeTimeoutCall is not None:  # Autobahn lets it run on.
            self.closeHandshakeTimeoutCall.cancel()
            self.closeHandshakeTimeoutCall = None

    def _too_late(self) -> None:
        self.factory.meter.count("limit", "close")
        self.abort()


class StrictFactory(WebSocketServerFactory):
    """Autobahn with the options that protect, and what all connections share."""

    noisy = False

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter | None = None) -> None:
        # `reactor` always: without it Autobahn imports, and so installs, the default one.
        super().__init__(reactor=clock, server="")  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.meter = meter or NullMeter()
        self.unfinished = Budget(limits.max_unfinished)
        self.setProtocolOptions(  # type: ignore[no-untyped-call]
            versions=[13],
            webStatus=False,
            # Any call sets this to False unless it is named; admission has decided.
            allowNullOrigin=True,
            failByDrop=False,  # Or the close codes are lost.
            echoCloseCodeReason=True,
            maxFramePayloadSize=limits.max_message,
            maxMessagePayloadSize=limits.max_message,
            openHandshakeTimeout=0,  # It gets a whole handshake; `channel.py` has the deadline.
            closeHandshakeTimeout=limits.close_timeout,
            autoPingInterval=0,  # The service pings, and never closes for a late pong.
            tcpNoDelay=True,
        )
        self._options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """A protocol with the options set."""
        protocol = super().buildProtocol(addr)
        protocol.__dict__.update(self._options)
        return protocol

    def prepare(self, protocol: StrictProtocol) -> None:
        """Make a protocol this factory's, with the options set, as `buildProtocol` does."""
        protocol.factory = self
        protocol.__dict__.update(self._options)
