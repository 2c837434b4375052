"""A server's WebSocket on Autobahn: strict by RFC 6455, within limits, with a clean close.

It has no knowledge of seats or JSON-RPC: subclasses handle the messages.
"""

from __future__ import annotations

from typing import Any, Final, cast

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime

from ..limits import Limits
from ..meter import Meter, NullMeter
from .assembly import Assembly, Budget
from .closing import CloseWatch
from .deflate import Compression, Corrupt, TooLarge, agree

#: Close codes of RFC 6455 §7.4.1; 1013 is from IANA's WebSocket Close Code Number Registry.
CLOSE_UNSUPPORTED: Final = 1003
CLOSE_INVALID: Final = 1007
CLOSE_POLICY: Final = 1008
CLOSE_TOO_BIG: Final = 1009
CLOSE_TRY_AGAIN: Final = 1013

#: The metrics' name of the limit that each close code reports.
_LIMIT_OF: Final = {
    CLOSE_POLICY: "max_fragments",
    CLOSE_TOO_BIG: "max_message",
    CLOSE_TRY_AGAIN: "unfinished",
}
_BUSY: Final = "too many unfinished messages at the moment"


class StrictProtocol(WebSocketServerProtocol):
    """One WebSocket. Subclasses handle complete messages and pings, and decide when to close."""

    factory: StrictFactory
    offered_extensions = ""
    """The client's `Sec-WebSocket-Extensions`."""
    takes_binary = False
    """Whether binary messages are accepted."""
    # Autobahn would copy each option for every connection, and format them for a debug line;
    # `StrictFactory.prepare` sets them all in one update.
    CONFIG_ATTRS = ()  # type: ignore[assignment]

    compression: Compression | None = None
    _watch: CloseWatch | None = None
    _drop_timer: IDelayedCall | None = None

    # Called by Autobahn: the handshake.

    def connectionMade(self) -> None:
        """Prepare for messages, once the HTTP server has handed over the connection."""
        super().connectionMade()
        self._pauses: set[str] = set()
        self._assembly = Assembly(self.factory.limits.max_fragments, self.factory.unfinished)

    def onConnect(self, request: Any) -> Any:
        """Negotiate compression if it is enabled; return the headers of the response."""
        agreed = agree(self.offered_extensions) if self.factory.limits.compress else None
        if agreed is None:
            return None
        self.compression = Compression(agreed, self._inflation_limit, self._cannot_inflate)
        return None, {"Sec-WebSocket-Extensions": agreed.response}

    def onOpen(self) -> None:
        """Begin to compress, if that was agreed, once the handshake is complete."""
        self._perMessageCompress = self.compression  # type: ignore[assignment]

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        """Refuse with a fixed text: Autobahn's *reason* quotes the request."""
        super().failHandshake("Bad handshake", 400)

    # Called by Autobahn: messages.

    def dataReceived(self, data: bytes) -> None:
        """Parse bytes from the client; after we have failed the connection, wait for its close."""
        if not self.failedByMe:
            self._dataReceived(data)
            data = b""
        if self.failedByMe:
            self._wait_for_close(data)

    def onMessageBegin(self, isBinary: bool) -> None:
        """Begin a message; fail the connection if it is binary, unless `takes_binary`."""
        super().onMessageBegin(isBinary)
        self._assembly.begin()
        if isBinary and not self.takes_binary:
            self._fail_connection(CLOSE_UNSUPPORTED, "only text messages are understood here")

    def onMessageFrameBegin(self, length: int) -> None:
        """Begin a fragment; fail the connection if there are too many."""
        super().onMessageFrameBegin(length)  # Checks the length.
        if not self._assembly.fragment():
            self._fail_connection(CLOSE_POLICY, "a message has too many fragments")

    def onMessageFrameData(self, payload: bytes) -> None:
        """Add a part of a fragment, already inflated."""
        if not (self.failedByMe or self._assembly.add(payload)):
            self._fail_connection(CLOSE_TRY_AGAIN, _BUSY)

    def onMessageFrameEnd(self) -> None:
        """Do nothing: `onMessageFrameData` has added the bytes."""

    def onMessageEnd(self) -> None:
        """Pass the complete message to `onMessage`."""
        if not self.failedByMe:
            self.onMessage(self._assembly.finish(), self.message_is_binary)

    def pause_input(self, limit: str) -> None:
        """Stop reading the socket because of *limit*, its name in metrics, until `resume_input`.

        Does nothing once the connection is closing: then the socket is always read.
        """
        if self.state != self.STATE_OPEN or limit in self._pauses:
            return
        self.factory.meter.count("limit", limit)
        if not self._pauses:
            self.tcp.pauseProducing()
        self._pauses.add(limit)

    @property
    def input_paused(self) -> bool:
        """Whether any limit pauses reading at the moment."""
        return bool(self._pauses)

    def resume_input(self, limit: str | None = None) -> None:
        """End the pause of *limit*, or of all limits if None; read if no other limit pauses."""
        if self._pauses:
            self._pauses -= {limit} if limit else self._pauses
            if not self._pauses:
                self.tcp.resumeProducing()

    # Called by `Compression`.

    def _inflation_limit(self) -> int:
        """Return how many more bytes the message may inflate to."""
        return min(self._own_limit, self._assembly.left)

    @property
    def _own_limit(self) -> int:
        """How many more bytes `max_message` allows the message."""
        return self.factory.limits.max_message - len(self._assembly)

    def _cannot_inflate(self, error: Corrupt | TooLarge) -> None:
        """Fail the connection because of a compressed message."""
        if isinstance(error, Corrupt):
            self._fail_connection(CLOSE_INVALID, "a compressed message is corrupt")
        elif self._assembly.left < self._own_limit:
            self._fail_connection(CLOSE_TRY_AGAIN, _BUSY)
        else:
            self._fail_connection(CLOSE_TOO_BIG, "a compressed message is too large")

    # Closing.

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2)."""
        # Autobahn's sendClose allows only the codes 1000 and 3000 to 4999.
        if self.state == self.STATE_OPEN:
            self.sendCloseFrame(code=code, reasonUtf8=reason.encode()[:123], isReply=False)
            self.resume_input()

    def abort(self) -> None:
        """Drop the TCP connection at once."""
        self.tcp.abortConnection()

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        """Answer the client's close, or end the connection after the answer to ours."""
        failed = super().onCloseFrame(code, reasonRaw)  # type: ignore[arg-type]
        if failed:
            self._end()  # Its code is invalid, but both sides have sent a close.
        return failed

    def onCloseHandshakeTimeout(self) -> None:
        """Count and drop a client that has not answered our close in time."""
        self.factory.meter.count("limit", "close")
        super().onCloseHandshakeTimeout()

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Cancel the timers and free the budget, once the connection has ended."""
        self._cancel_close_timeout()
        if self._drop_timer is not None and self._drop_timer.active():
            self._drop_timer.cancel()
        self._assembly.drop()

    @property
    def tcp(self) -> Any:
        """The transport: TCP, TLS or a Unix socket, each with more methods than `ITransport`."""
        return self.transport

    def _protocol_violation(self, reason: str) -> bool:
        super()._protocol_violation(reason)
        return True  # Stop parsing.

    def _invalid_payload(self, reason: str) -> bool:
        super()._invalid_payload(reason)
        return True

    def _fail_connection(self, code: int = CLOSE_POLICY, reason: str = "") -> None:
        """Close because of a violation or a limit (RFC 6455 §7.1.7), and count it."""
        if self.failedByMe:
            return  # The first violation counts.
        limit = _LIMIT_OF.get(code)
        self.factory.meter.count("limit" if limit else "violation", limit or str(code))
        self._assembly.drop()
        super()._fail_connection(code, reason)
        self.resume_input()

    def _wait_for_close(self, data: bytes) -> None:
        """Discard *data* up to the client's close frame, then end the connection."""
        if self._watch is None:
            frame = self.current_frame
            rest = 0 if frame is None else frame.length - self.current_frame_masker.pointer()
            self._watch = CloseWatch(rest)
            data, self.data = self.data + data, b""
        if self._watch.feed(data):
            self._end()

    def _end(self) -> None:
        """Close TCP, once both sides have sent a close frame."""
        self._cancel_close_timeout()
        self.wasClean = True
        self.dropConnection(abort=False)

    def _closeConnection(self, abort: bool = False) -> None:
        """Close TCP, and drop it after `close_timeout` if the client does not read."""
        # Autobahn would reset the connection even after a clean close.
        super()._closeConnection(abort and not self.wasClean)
        self._drop_timer = self.factory.clock.callLater(
            self.factory.limits.close_timeout, self._drop_unread
        )

    def _cancel_close_timeout(self) -> None:
        """Cancel the timer of the closing handshake, which Autobahn does not do."""
        if self.closeHandshakeTimeoutCall is not None:
            self.closeHandshakeTimeoutCall.cancel()
            self.closeHandshakeTimeoutCall = None

    def _drop_unread(self) -> None:
        self.factory.meter.count("limit", "close")
        self.abort()


class StrictFactory(WebSocketServerFactory):
    """Autobahn's factory with strict options, and the limits, meter and budget of its protocols."""

    noisy = False

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter | None = None) -> None:
        # Without `reactor` Autobahn imports the default reactor, which installs it.
        super().__init__(reactor=clock, server="")  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.meter = meter or NullMeter()
        self.unfinished = Budget(limits.max_unfinished)
        self.setProtocolOptions(  # type: ignore[no-untyped-call]
            versions=[13],
            webStatus=False,
            # Without this argument any call sets it to False. Admission has checked the origin.
            allowNullOrigin=True,
            failByDrop=False,  # Otherwise close codes are lost.
            echoCloseCodeReason=True,
            maxFramePayloadSize=limits.max_message,
            maxMessagePayloadSize=limits.max_message,
            openHandshakeTimeout=0,  # The HTTP server has a deadline for the handshake.
            closeHandshakeTimeout=limits.close_timeout,
            autoPingInterval=0,  # `Keepalive` pings, and never closes because of a late pong.
            tcpNoDelay=True,
        )
        self._options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}

    def buildProtocol(self, addr: IAddress | None) -> Any:
        """Return a new protocol with the options set."""
        protocol = cast("StrictProtocol", super().buildProtocol(addr))
        self.prepare(protocol)
        return protocol

    def prepare(self, protocol: StrictProtocol) -> None:
        """Set this factory and the options of a protocol that was made without `buildProtocol`."""
        protocol.factory = self
        protocol.__dict__.update(self._options)
