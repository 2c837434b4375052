"""One open WebSocket: Autobahn's callbacks on one side, a seat on the other."""

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
from .writer import Outlet, Valve


@dataclass(frozen=True)
class Arrival:
    """What is known of a client when its handshake has been admitted."""

    key: Key
    """What it was admitted with."""
    peer: str
    """Its address, for people."""
    source: str
    """What limits by address are counted by (`access.sources`)."""
    extensions: str = ""
    """What it offers in `Sec-WebSocket-Extensions`."""


class AttachProtocol(StrictProtocol):
    """A `Link` over Autobahn. Made for admitted clients only, by `AttachFactory.build`."""

    factory: AttachFactory
    _log = Logger()

    def __init__(self, arrival: Arrival) -> None:
        super().__init__()
        self.offered_extensions = arrival.extensions
        self._arrival = arrival
        self._seat: Seat | None = None
        self._round_trips = RoundTrips()
        self._pings = 0
        self._owed_pong: bytes | None = None

    # What Autobahn calls.

    def connectionMade(self) -> None:
        """Begin to count: the connection has been taken over from the HTTP server."""
        super().connectionMade()
        self._attachment = Attachment(
            self,
            peer=self._arrival.peer,
            source=self._arrival.source,
            now=self.factory.clock.seconds(),
        )
        self._outlet = Outlet(self.tcp, lambda: self._valve.is_open)

    def onOpen(self) -> None:
        """Take a seat: the handshake is done."""
        super().onOpen()
        # The HTTP channel that had the connection before is still registered.
        self.tcp.unregisterProducer()
        self._valve = Valve(self._writable_again)
        self._attachment.bytes_in = 0  # The handshake does not count.
        self.tcp.registerProducer(self._valve, True)
        self._seat = self.factory.directory.open(self._arrival.key, self._attachment)

    def dataReceived(self, data: bytes) -> None:
        """Read bytes from the client."""
        attachment = self._attachment
        attachment.last_heard = self.factory.clock.seconds()
        attachment.bytes_in += len(data)
        if self._is_between_messages():
            # Plain small messages skip Autobahn's parser, which costs ten times as much.
            texts, data = split_texts(data, self.factory.limits.max_message)
            for text in texts:
                self.onMessage(text, False)
        if data:
            super().dataReceived(data)
            self._answer_last_ping()

    def _is_between_messages(self) -> bool:
        return (
            self.state == self.STATE_OPEN
            and not self.data
            and self.current_frame is None
            and not self.inside_message
        )

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Pass a whole message to the seat; ignored once a close frame has been sent."""
        if self._seat is None or self.state != self.STATE_OPEN:
            return
        self._attachment.frames_in += 1
        try:
            self._seat.received(payload)
        except Exception:
            # A bug of ours must not cost the client its connection.
            self._log.failure("handling a message failed")

    def onPing(self, payload: bytes) -> None:
        """Answer at once; of a flood answer only the latest ping (RFC 6455 §5.5.3)."""
        self._pings += 1
        if self.writable and self._pings <= self.factory.limits.max_pongs:
            self._pong(payload)
            return
        self._owed_pong = payload
        if self._pings > self.factory.limits.max_pongs and not self._valve.is_open:
            self.pause_input("pongs")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Detach from the seat: the connection has ended."""
        super().onClose(wasClean, code, reason)
        self._outlet.clear()
        attachment = self._attachment
        attachment.close_code = self.localCloseCode or (code if wasClean else None)
        attachment.ended_by = attachment.ended_by or self._ended_by(wasClean)
        seat, self._seat = self._seat, None
        if seat is not None:
            self.factory.directory.detach(seat, attachment)

    # What the attachment calls: `Link`. `StrictProtocol` has `abort`.

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""
        return self._valve.is_open and self._outlet.is_empty and self.state == self.STATE_OPEN

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message. Faster than Autobahn's way by a factor."""
        frames = self.make_frames(payloads)
        self._attachment.frames_out += len(payloads)
        self._attachment.bytes_out += sum(map(len, frames))
        self._outlet.write(frames)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """Write what Autobahn sends: the handshake's answer and control frames.

        At once, but never within a frame of ours. *sync* and *chopsize* are not used here.
        """
        self._outlet.pour_all()
        write_promptly(self.tcp, data)

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Return headers and payloads in turn."""
        squeeze = self.compression.deflate if self.compression is not None else None
        return text_frames(payloads, squeeze)

    def pause_reading(self) -> None:
        """Stop reading the socket, because too many requests wait."""
        self.pause_input("waiting_requests")

    def resume_reading(self) -> None:
        """Read the socket again."""
        self.resume_input("waiting_requests")

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        if self.state == self.STATE_OPEN:
            self._attachment.ended_by = "server"
        super().close(code, reason)

    def ping(self) -> None:
        """Send a ping, if the socket takes more. A missing pong has no consequence."""
        if self.writable:
            self.sendPing(self._round_trips.ping(self.factory.clock.seconds()))

    def onPong(self, payload: bytes) -> None:
        """Note the round trip of a ping that came back."""
        seconds = self._round_trips.pong(payload, self.factory.clock.seconds())
        if seconds is not None:
            self._attachment.round_trip = seconds
            self.factory.meter.observe("ping", seconds)

    @property
    def unheard(self) -> bool:
        """Whether the socket is paused although the client reads: then it may have said more."""
        return self.input_paused and self.writable

    def resume_input(self, limit: str | None = None) -> None:
        """Read the socket again. The client's silence counts from now on."""
        if self.input_paused:
            self._attachment.last_heard = self.factory.clock.seconds()
        super().resume_input(limit)

    def _ended_by(self, clean: bool) -> str:
        if self.failedByMe:
            return "violation"
        return "client" if clean else "connection-lost"

    def _pong(self, payload: bytes) -> None:
        self.sendPong(payload)  # type: ignore[no-untyped-call]

    def _answer_last_ping(self) -> None:
        if self.state == self.STATE_OPEN and self.writable:
            self._pings = 0
            pong, self._owed_pong = self._owed_pong, None
            if pong is not None:
                self._pong(pong)

    def _writable_again(self) -> None:
        self._outlet.pour()
        if not self._outlet.is_empty:
            return
        self._answer_last_ping()
        if self._seat is not None:
            self._seat.flush()
        self.resume_input("pongs")


class AttachFactory(StrictFactory):
    """Makes the links: they share limits, and the directory that gives them seats."""

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        directory: Directory,
        meter: Meter | None = None,
        make_protocol: Callable[[Arrival], AttachProtocol] = AttachProtocol,
    ) -> None:
        super().__init__(clock, limits, meter)
        self.directory = directory
        self._make_protocol = make_protocol

    def build(self, arrival: Arrival) -> AttachProtocol:
        """Return a protocol for an admitted client."""
        protocol = self._make_protocol(arrival)
        self.prepare(protocol)
        return protocol
