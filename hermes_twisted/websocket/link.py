"""A link: one open WebSocket, between Autobahn and a seat."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..access.keys import Key
from ..limits import Limits
from ..meter import Meter
from ..seats.attachment import Attachment
from ..seats.directory import Directory
from ..seats.seat import Seat
from ..tcp import write_promptly
from .frames import split_texts, text_frames
from .round_trips import RoundTrips
from .strict import StrictFactory, StrictProtocol
from .writer import FlowControl, SocketWriter


@dataclass(frozen=True)
class AdmittedClient:
    """A client whose handshake has been admitted."""

    key: Key
    """The key that admitted it."""
    peer: str
    """Its address, for people."""
    source: str
    """The source by which its links are counted (`access.sources`)."""
    extensions: str = ""
    """The value of its `Sec-WebSocket-Extensions`."""


class AttachProtocol(StrictProtocol):
    """A `Link` over Autobahn, for an admitted client. Made by `AttachFactory.build`."""

    factory: AttachFactory
    _log = Logger()

    def __init__(self, client: AdmittedClient) -> None:
        super().__init__()
        self.offered_extensions = client.extensions
        self._client = client
        self._seat: Seat | None = None
        self._round_trips = RoundTrips()
        self._pings = 0
        self._owed_pong: bytes | None = None

    # Called by Autobahn.

    def connectionMade(self) -> None:
        """Set up counters and the writer, once the HTTP server has handed over the connection."""
        super().connectionMade()
        self._attachment = Attachment(
            self,
            peer=self._client.peer,
            source=self._client.source,
            now=self.factory.clock.seconds(),
        )
        self._flow = FlowControl(self._writable_again)
        self._writer = SocketWriter(self.tcp, self._flow)

    def onOpen(self) -> None:
        """Open a seat, once the handshake is complete."""
        super().onOpen()
        # The HTTP channel is still registered as the producer.
        self.tcp.unregisterProducer()
        self._attachment.bytes_in = 0  # The handshake does not count.
        self.tcp.registerProducer(self._flow, True)
        self._seat = self.factory.directory.open(self._client.key, self._attachment)

    def dataReceived(self, data: bytes) -> None:
        """Count and parse bytes from the client."""
        attachment = self._attachment
        attachment.last_heard = self.factory.clock.seconds()
        attachment.bytes_in += len(data)
        if self._is_between_messages():
            # Small, simple messages bypass Autobahn's parser, which takes ten times as long.
            texts, data = split_texts(data, self.factory.limits.max_message)
            for text in texts:
                self.onMessage(text, False)
        if data:
            super().dataReceived(data)
            self._answer_last_ping()

    def _is_between_messages(self) -> bool:
        """Return whether the next byte begins a message."""
        return (
            self.state == self.STATE_OPEN
            and not self.data
            and self.current_frame is None
            and not self.inside_message
        )

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Pass a message to the seat; ignore it once we have begun to close."""
        if self._seat is None or self.state != self.STATE_OPEN:
            return
        self._attachment.frames_in += 1
        try:
            self._seat.received(payload)
        except Exception:
            # A bug must not end the client's connection.
            self._log.failure("handling a message failed")

    def onPing(self, payload: bytes) -> None:
        """Answer a ping at once; in a flood, answer only the latest one (RFC 6455 §5.5.3)."""
        self._pings += 1
        if self.writable and self._pings <= self.factory.limits.max_pongs:
            self._pong(payload)
            return
        self._owed_pong = payload
        if self._pings > self.factory.limits.max_pongs and not self._flow.is_writable:
            self.pause_input("pongs")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Detach from the seat, once the connection has ended."""
        super().onClose(wasClean, code, reason)
        self._writer.clear()
        attachment = self._attachment
        attachment.close_code = self.localCloseCode or (code if wasClean else None)
        attachment.ended_by = attachment.ended_by or self._ended_by(wasClean)
        seat, self._seat = self._seat, None
        if seat is not None:
            self.factory.directory.detach(seat, attachment)

    # Called by the attachment: the protocol `Link`. `StrictProtocol` has `abort`.

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""
        return self._flow.is_writable and self._writer.is_empty and self.state == self.STATE_OPEN

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, several times as fast as Autobahn does it."""
        frames = self.make_frames(payloads)
        self._attachment.frames_out += len(payloads)
        self._attachment.bytes_out += sum(map(len, frames))
        self._writer.write(frames)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write bytes of Autobahn: the response to the handshake, and control frames.

        They are written after all earlier messages. *sync* and *chopsize* are ignored.
        """
        self._writer.flush_all()
        write_promptly(self.tcp, data)

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Return the WebSocket frames of *payloads*: headers and payloads, alternating."""
        compress = self.compression.deflate if self.compression is not None else None
        return text_frames(payloads, compress)

    def pause_reading(self) -> None:
        """Stop reading the socket, because the request window is full."""
        self.pause_input("waiting_requests")

    def resume_reading(self) -> None:
        """Read the socket again, unless another limit pauses it."""
        self.resume_input("waiting_requests")

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        if self.state == self.STATE_OPEN:
            self._attachment.ended_by = "server"
        super().close(code, reason)

    def ping(self) -> None:
        """Send a ping if the socket is writable. A missing pong has no consequence."""
        if self.writable:
            self.sendPing(self._round_trips.ping(self.factory.clock.seconds()))

    def onPong(self, payload: bytes) -> None:
        """Record the round-trip time of a ping."""
        seconds = self._round_trips.pong(payload, self.factory.clock.seconds())
        if seconds is not None:
            self._attachment.round_trip = seconds
            self.factory.meter.observe("ping", seconds)

    @property
    def may_have_unread(self) -> bool:
        """Whether the client may have sent bytes that we have not read, because of a pause."""
        return self.input_paused and self.writable

    def resume_input(self, limit: str | None = None) -> None:
        """Read the socket again. The client's silence is counted from now on."""
        if self.input_paused:
            self._attachment.last_heard = self.factory.clock.seconds()
        super().resume_input(limit)

    def _ended_by(self, clean: bool) -> str:
        """Return `ended_by` of a link that neither the seat nor `close` has ended."""
        if self.failedByMe:
            return "violation"
        return "client" if clean else "connection-lost"

    def _pong(self, payload: bytes) -> None:
        self.sendPong(payload)  # type: ignore[no-untyped-call]

    def _answer_last_ping(self) -> None:
        """Send the pong that is owed, if the client reads."""
        if self.state == self.STATE_OPEN and self.writable:
            self._pings = 0
            pong, self._owed_pong = self._owed_pong, None
            if pong is not None:
                self._pong(pong)

    def _writable_again(self) -> None:
        """Write what waits, now that the socket has room."""
        self._writer.flush()
        if not self._writer.is_empty:
            return
        self._answer_last_ping()
        if self._seat is not None:
            self._seat.flush()
        self.resume_input("pongs")


class AttachFactory(StrictFactory):
    """Makes links, which share the limits and the directory."""

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        directory: Directory,
        meter: Meter | None = None,
        make_protocol: Callable[[AdmittedClient], AttachProtocol] = AttachProtocol,
    ) -> None:
        super().__init__(clock, limits, meter)
        self.directory = directory
        self._make_protocol = make_protocol

    def build(self, client: AdmittedClient) -> AttachProtocol:
        """Return a protocol for an admitted client."""
        protocol = self._make_protocol(client)
        self.prepare(protocol)
        return protocol
