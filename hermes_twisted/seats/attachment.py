"""The attachment of a link to its seat: flow control, the reason of its end, and counters."""

from __future__ import annotations

from .ports import Link


class Attachment:
    """A link as its seat uses it, from the handshake to its end.

    The link updates the counters; the seat pauses, writes and closes. Each link of a seat has its
    own attachment.
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
        """*now* is the time in seconds, by the reactor's clock."""
        self._link = link
        self.peer = peer
        """The client's address, for people."""
        self.source = source
        """The source by which the link is counted (`access.sources`)."""
        self.last_heard = now
        """When the last byte was received, in seconds by the reactor's clock."""
        self.round_trip: float | None = None
        """The latest round-trip time of a ping, in seconds; None before the first pong."""
        self.frames_in = 0
        """Messages from the client."""
        self.frames_out = 0
        """Messages to the client."""
        self.bytes_in = 0
        """Bytes received, including WebSocket headers and control frames."""
        self.bytes_out = 0
        """Bytes sent, including WebSocket headers, without control frames."""
        self.paused = False
        """Whether the seat has paused reading the link."""
        self.aborted = False
        """Whether the seat has dropped the link."""
        self.ended_by = ""
        """Why the link ended, in a word, such as `client`; empty while it is open."""
        self.close_code: int | None = None
        """The code of the close frame that we sent or, if we sent none, received."""

    @property
    def writable(self) -> bool:
        """Whether the socket accepts more without buffering."""
        return self._link.writable

    @property
    def may_have_unread(self) -> bool:
        """Whether the client may have sent bytes that we have not read, because of a pause."""
        return self._link.may_have_unread

    def send(self, payloads: list[bytes]) -> None:
        """Send each payload as one text message, in one write."""
        self._link.send(payloads)

    def ping(self) -> None:
        """Send a ping if the socket is writable."""
        self._link.ping()

    def pause_reading(self) -> None:
        """Stop reading the socket, because the request window is full."""
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

    def abort(self, reason: str) -> None:
        """Drop the connection at once, and set `ended_by` to *reason*, a word."""
        if not self.aborted:
            self.aborted = True
            self.ended_by = reason
            self._link.abort()
