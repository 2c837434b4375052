"""Autobahn's callbacks on one side, a seat on the other."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ..access.rules import Admitted
from ..limits import Limits
from ..meter import Meter
from ..seats.seat import Seat
from ..tcp import write_promptly
from .frames import split_texts, text_frames
from .round_trips import RoundTrips
from .strict import StrictFactory, StrictProtocol
from .writer import Outlet, Valve

#: Makes a seat for an admitted link.
OpenSeat = Callable[["AttachProtocol", Admitted], Seat]
#: Told when a link has ended.
CloseSeat = Callable[["AttachProtocol", Seat], None]


class AttachProtocol(StrictProtocol):
    """One open WebSocket: a `Link`. Made behind admission only."""

    factory: AttachFactory
    admitted: Admitted
    peer_name = ""
    source = ""
    """What limits are counted by: see `access.sources`."""
    _log = Logger()

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
    _pings = 0
    _owed_pong: bytes | None = None

    # What Autobahn calls.

    def connectionMade(self) -> None:
        """The connection has been taken over from the HTTP server."""
        super().connectionMade()
        self.last_heard = self.factory.clock.seconds()
        self.round_trips = RoundTrips()
        self._outlet = Outlet(self.tcp, lambda: self._valve.is_open)

    def onOpen(self) -> None:
        """The handshake is done: take a seat."""
        super().onOpen()
        # The HTTP channel that we took the connection from is still registered.
        self.tcp.unregisterProducer()
        self._valve = Valve(self._writable_again)
        self.bytes_in = 0  # The handshake does not count.
        self.tcp.registerProducer(self._valve, True)
        self.seat = self.factory.open_seat(self, self.admitted)

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client."""
        self.last_heard = self.factory.clock.seconds()
        self.bytes_in += len(data)
        if self._is_between_messages():
            # Everyday messages: Autobahn's path costs ten times as much.
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
        """One whole message; void once a close frame has been sent."""
        if self.seat is None or self.state != self.STATE_OPEN:
            return
        self.frames_in += 1
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
            self.pause_input("pongs")

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection has ended."""
        super().onClose(wasClean, code, reason)
        self._outlet.clear()
        self.close_code = self.localCloseCode or (code if wasClean else None)
        self.ended_by = self.ended_by or self._ended_by(wasClean)
        seat, self.seat = self.seat, None
        if seat is not None:
            seat.link_lost()
            self.factory.close_seat(self, seat)

    # What the seat calls: `Link`, of which `StrictProtocol` has the end.

    @property
    def writable(self) -> bool:
        """See `Link`."""
        return self._valve.is_open and self._outlet.is_empty and self.state == self.STATE_OPEN

    def send(self, payloads: list[bytes]) -> None:
        """See `Link`. Frames are made here: Autobahn's path costs several times more."""
        frames = self.make_frames(payloads)
        self.frames_out += len(payloads)
        self.bytes_out += sum(map(len, frames))
        self._outlet.write(frames)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        """What Autobahn writes: the handshake's answer and control frames.

        Not within a frame of ours, and at once. Nobody here asks it to chop or to wait.
        """
        self._outlet.pour_all()
        write_promptly(self.tcp, data)

    def make_frames(self, payloads: list[bytes]) -> list[bytes]:
        """Headers and payloads in turn."""
        squeeze = self.compression.deflate if self.compression is not None else None
        return text_frames(payloads, squeeze)

    def pause_reading(self) -> None:
        """See `Link`."""
        self.pause_input("waiting_requests")

    def resume_reading(self) -> None:
        """See `Link`."""
        self.resume_input("waiting_requests")

    def close(self, code: int, reason: str) -> None:
        """See `Link`."""
        if self.state == self.STATE_OPEN:
            self.ended_by = "server"
        super().close(code, reason)

    def ping(self) -> None:
        """Make the path carry something; whether a pong comes decides nothing."""
        if self.writable:
            self.sendPing(self.round_trips.ping(self.factory.clock.seconds()))

    def onPong(self, payload: bytes) -> None:
        """A ping of ours has come back."""
        seconds = self.round_trips.pong(payload, self.factory.clock.seconds())
        if seconds is not None:
            self.factory.meter.observe("ping", seconds)

    @property
    def unheard(self) -> bool:
        """Whether what the client says lies unread, and not because it does not read either."""
        return self.input_paused and self.writable

    def resume_input(self, limit: str | None = None) -> None:
        """Read again. The client's time of silence begins anew: until now it was not read."""
        if self.input_paused:
            self.last_heard = self.factory.clock.seconds()
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
        if self.seat is not None:
            self.seat.flush()
        self.resume_input("pongs")


class AttachFactory(StrictFactory):
    """What the protocols need of us."""

    protocol = AttachProtocol  # type: ignore[assignment]

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        open_seat: OpenSeat,
        close_seat: CloseSeat,
        meter: Meter | None = None,
    ) -> None:
        super().__init__(clock, limits, meter)
        self.open_seat = open_seat
        self.close_seat = close_seat
