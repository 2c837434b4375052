"""A server's WebSocket on Autobahn: strict by RFC 6455, within limits, with a clean end.

It knows nothing of seats: what a message means is `link.py`'s.
"""

from __future__ import annotations

from typing import Any, Final, cast

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

#: The limit, as metrics name it, that each code of ours reports.
_LIMIT_OF: Final = {
    CLOSE_POLICY: "max_fragments",
    CLOSE_TOO_BIG: "max_message",
    CLOSE_TRY_AGAIN: "unfinished",
}
_BUSY: Final = "too many unfinished messages at the moment"


class StrictProtocol(WebSocketServerProtocol):
    """One WebSocket. Subclasses handle whole messages and pings, and decide when it ends."""

    factory: StrictFactory
    offered_extensions = ""
    """The client's `Sec-WebSocket-Extensions`."""
    takes_binary = False
    # Autobahn would copy all options for each connection, and format them for a debug line.
    CONFIG_ATTRS = ()  # type: ignore[assignment]  # `StrictFactory` sets them at once.

    compression: Compression | None = None
    _watch: CloseWatch | None = None
    _last_call: IDelayedCall | None = None

    # The handshake.

    def connectionMade(self) -> None:
        """Begin: the connection has been taken over from the HTTP server."""
        super().connectionMade()
        self._pauses: set[str] = set()
        self._assembly = Assembly(self.factory.limits.max_fragments, self.factory.unfinished)

    def onConnect(self, request: Any) -> Any:
        """Agree on compression if that is enabled; return the headers of the answer."""
        agreed = agree(self.offered_extensions) if self.factory.limits.compress else None
        if agreed is None:
            return None
        self.compression = Compression(agreed, self._room, self._cannot_inflate)
        return None, {"Sec-WebSocket-Extensions": agreed.response}

    def onOpen(self) -> None:
        """Begin to compress, if that was agreed: the handshake is done."""
        self._perMessageCompress = self.compression  # type: ignore[assignment]

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Refuse in fixed words: Autobahn's quote the request. Admission has refused before."""
        super().failHandshake("Bad handshake", 400)

    # What comes.

    def dataReceived(self, data: bytes) -> None:
        """Parse bytes of the client; once we have failed the connection, await its close."""
        if not self.failedByMe:
            self._dataReceived(data)
            data = b""
        if self.failedByMe:
            self._await_close(data)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message; fail the connection for binary ones unless `takes_binary`."""
        super().onMessageBegin(isBinary)
        self._assembly.begin()
        if isBinary and not self.takes_binary:
            self._fail_connection(CLOSE_UNSUPPORTED, "only text messages are understood here")

    def onMessageFrameBegin(self, length: int) -> None:
        """Begin a fragment; fail the connection if it is one too many."""
        super().onMessageFrameBegin(length)  # It checks the length.
        if not self._assembly.fragment():
            self._fail_connection(CLOSE_POLICY, "a message of too many fragments")

    def onMessageFrameData(self, payload: bytes) -> None:
        """Add a part of a fragment, already inflated."""
        if not (self.failedByMe or self._assembly.add(payload)):
            self._fail_connection(CLOSE_TRY_AGAIN, _BUSY)

    def onMessageFrameEnd(self) -> None:
        """Do nothing: the bytes are in the assembly already."""

    def onMessageEnd(self) -> None:
        """Pass the complete message to `onMessage`."""
        if not self.failedByMe:
            self.onMessage(self._assembly.finish(), self.message_is_binary)

    def pause_input(self, limit: str) -> None:
        """Stop reading the socket because of a limit, until `resume_input`.

        Does nothing once the connection closes: then it is always read.
        """
        if self.state != self.STATE_OPEN or limit in self._pauses:
            return
        self.factory.meter.count("limit", limit)
        if not self._pauses:
            self.tcp.pauseProducing()
        self._pauses.add(limit)

    @property
    def input_paused(self) -> bool:
        """Whether the socket is not read at the moment, because of any limit."""
        return bool(self._pauses)

    def resume_input(self, limit: str | None = None) -> None:
        """End the pause because of *limit*, or of all limits; read again if none is left."""
        if self._pauses:
            self._pauses -= {limit} if limit else self._pauses
            if not self._pauses:
                self.tcp.resumeProducing()

    # What `Compression` calls.

    def _room(self) -> int:
        """Return how many more bytes the message may inflate to."""
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
        """Begin the closing handshake (RFC 6455 §7.1.2)."""
        # sendClose refuses every code but 1000 and 3000-4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123], isReply=False)
            self.resume_input()

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        self.tcp.abortConnection()

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """Answer the client's close, or end after the answer to ours."""
        failed = super().onCloseFrame(code, reasonRaw)  # type: ignore[arg-type]
        if failed:
            self._end()  # Its code is not valid, but both sides have sent a close.
        return failed

    def onCloseHandshakeTimeout(self) -> None:
        """Count and drop a client that has not answered our close in time."""
        self.factory.meter.count("limit", "close")
        super().onCloseHandshakeTimeout()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Cancel timers and give back the budget: the connection has ended."""
        self._stop_waiting()
        if self._last_call is not None and self._last_call.active():
            self._last_call.cancel()
        self._assembly.drop()

    @property
    def tcp(self) -> Any:
        """The transport: TCP, TLS or a Unix socket, each with more methods than `ITransport`."""
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
        """Discard what still comes, until the client's close frame."""
        if self._watch is None:
            frame = self.current_frame
            rest = 0 if frame is None else frame.length - self.current_frame_masker.pointer()
            self._watch = CloseWatch(rest)
            data, self.data = self.data + data, b""
        if self._watch.feed(data):
            self._end()

    def _end(self) -> None:
        """End TCP: both close frames have been sent."""
        self._stop_waiting()
        self.wasClean = True
        self.dropConnection(abort=False)

    def _closeConnection(self, abort: bool = False) -> None:
        # Autobahn would reset the connection even after a proper close.
        super()._closeConnection(abort and not self.wasClean)
        # What was written still goes out, but a client that does not read is dropped in time.
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
    """Autobahn with strict options, and what all connections share: limits, meter, the budget."""

    noisy = False

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter | None = None) -> None:
        # Always with `reactor`: without it Autobahn imports, and so installs, the default one.
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
            openHandshakeTimeout=0,  # It gets a whole handshake, by a deadline of the HTTP server.
            closeHandshakeTimeout=limits.close_timeout,
            autoPingInterval=0,  # The service pings, and never closes for a late pong.
            tcpNoDelay=True,
        )
        self._options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a new protocol with the options set."""
        protocol = cast("StrictProtocol", super().buildProtocol(addr))
        self.prepare(protocol)
        return protocol

    def prepare(self, protocol: StrictProtocol) -> None:
        """Set the options and this factory on a protocol that was made without `buildProtocol`."""
        protocol.factory = self
        protocol.__dict__.update(self._options)
