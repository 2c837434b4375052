"""What one link needs at its seat: flow control, how it ends, and what went through it."""

from __future__ import annotations

from .ports import Link


class Attachment:
    """A link at its seat, from its handshake to its end.

    The link keeps the counters; the seat pauses, writes and ends. A seat that is given
    another link gets another attachment.
    """

    __slots__ = (
        "_link",
        "aborted",
        "bytes_in",
        "bytes_out",
        "close_code",
        "ended_by",
        "frames_in",
        "frames_out",
        "last_heard",
        "paused",
        "peer",
        "round_trip",
        "source",
    )

    def __init__(self, link: Link, *, peer: str, source: str, now: float) -> None:
        """*now* is in seconds, by the reactor's clock."""
        self._link = link
        self.peer = peer
        """The client's address, for people."""
        self.source = source
        """What limits by address are counted by (`access.sources`)."""
        self.last_heard = now
        """When the last byte came, in seconds."""
        self.round_trip: float | None = None
        """Seconds that the latest ping took; None before the first has come back."""
        self.frames_in = 0
        """Messages of the client; `frames_out` are those to it."""
        self.frames_out = 0
        self.bytes_in = 0
        """Bytes on the wire, framing and all; outwards without control frames."""
        self.bytes_out = 0
        self.paused = False
        """Whether the seat keeps the link from being read."""
        self.aborted = False
        """Whether the seat has dropped the link."""
        self.ended_by = ""
        """Who or what ended the link, in a word, once that is known."""
        self.close_code: int | None = None
        """The code of the close frame that we sent or, if we sent none, that came."""

    @property
    def writable(self) -> bool:
        """Whether the socket takes more without buffering."""
        return self._link.writable

    @property
    def unheard(self) -> bool:
        """Whether the client may have said something that we have not read."""
        return self._link.unheard

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, in one write."""
        self._link.send(payloads)

    def ping(self) -> None:
        """Send a ping, if the socket takes more."""
        self._link.ping()

    def pause_reading(self) -> None:
        """Read the socket no more, because too many requests wait."""
        if not self.paused:
            self.paused = True
            self._link.pause_reading()

    def resume_reading(self) -> None:
        """Read the socket again."""
        if self.paused:
            self.paused = False
            self._link.resume_reading()

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake."""
        self._link.close(code, reason)

    def abort(self, why: str) -> None:
        """Drop the connection now; *why*, in a word, is what `ended_by` will be."""
        if not self.aborted:
            self.aborted = True
            self.ended_by = why
            self._link.abort()
