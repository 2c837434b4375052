"""One client: its requests on their way in, its frames on their way out.

A seat decides; the link (a WebSocket) and the channel (a backend) act. It lives on
the event loop and knows neither. Threads reach it through the outbox alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from .. import rpc
from ..access import scopes
from ..access.keys import Key
from ..limits import Limits
from ..meter import Meter, NullMeter
from ..shared.outbox import ANSWER
from .attachment import Attachment
from .ports import Channel
from .window import RequestWindow

#: Bytes that are handed to the socket in one write.
BATCH: Final = 256 * 1024

#: RFC 6455 §7.4.1
CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008


class Seat:
    """One client, whatever becomes of its connection.

    It owns what the client owns: its key, its channel to the backend, its requests and the
    position in its frames. What one connection needs is its `Attachment`'s, of which a
    seat has one or, between two links, none: then frames gather in the outbox.
    """

    def __init__(
        self,
        number: int,
        key: Key,
        limits: Limits,
        open_channel: Callable[[Callable[[], None]], Channel],
        *,
        meter: Meter | None = None,
    ) -> None:
        """*open_channel* gets the callback that it is to call when the outbox has something."""
        self.number = number
        self.key = key
        """What it was admitted with."""
        self.peer = ""
        """The address of its latest link, for people."""
        self.denied = 0
        """Requests that the key's scope forbids."""
        self._limits = limits
        self._meter = meter or NullMeter()
        self._attachment: Attachment | None = None
        self._window = RequestWindow(limits)
        self._deferred: deque[rpc.Frame | bytes] = deque()
        self._closed = False
        self._ending = False
        self._flushing = False
        self._channel = open_channel(self.flush)

    # Its link.

    def attach(self, attachment: Attachment) -> None:
        """Take a link. Raises `ValueError` if there is one, or the seat is closed."""
        if self._closed or self._attachment is not None:
            raise ValueError(f"seat {self.number} cannot take a link now")
        self._attachment = attachment
        self.peer = attachment.peer
        self.flush()
        self._pause_if_full()

    def detach(self, attachment: Attachment) -> None:
        """The link has ended. Deferred requests and frames wait for another one."""
        if self._attachment is attachment:
            self._attachment = None

    def close(self) -> None:
        """The client has gone for good: the backend is told, and nothing waits any more."""
        if not self._closed:
            self._closed = True
            self._attachment = None
            self._forget_deferred()
            self._channel.close()

    @property
    def attachment(self) -> Attachment | None:
        """Its link at the moment."""
        return self._attachment

    # What comes from the client.

    def received(self, text: bytes) -> None:
        """Take a message of the client. What is wrong with it is answered, never raised."""
        if self._ending or not text or text.isspace():
            return
        try:
            frame = rpc.parse(text, self._limits.max_depth, self._limits.max_containers)
        except rpc.BadFrame as bad:
            self._meter.count("bad_frame", bad.why)
            self._answer_or_defer(bad.answer)
            return
        if frame.method == rpc.PING_METHOD:
            self._answer_or_defer(rpc.result(frame.id, {"ok": True}))
            return
        refused = scopes.refusal(self.key.scope, frame)
        if refused is not None:
            self.denied += 1
            self._meter.count("denied", self.key.scope)
            self._answer_or_defer(refused)
            return
        if self._must_defer() and not frame.urgent:
            self._defer(frame, len(text))
        else:
            self._submit(frame)
        self._pause_if_full()

    # What goes to the client.

    def tell(self, message: str) -> None:
        """Show the user a line of text."""
        self._channel.outbox.put(rpc.notice(message))
        self.flush()

    def flush(self) -> None:
        """Move what waits to the link, as far as that takes it; without one it waits on."""
        attachment = self._attachment
        if attachment is None or self._flushing:
            return
        self._flushing = True
        try:
            self._drain(attachment)
            while self._release_deferred():
                self._drain(attachment)
        finally:
            self._flushing = False
        if self.overflowed:
            if not attachment.aborted:
                self._meter.count("limit", "hard")
                attachment.abort("slow-reader")
        elif attachment.paused and self._window.is_half_free:
            attachment.resume_reading()

    def end(self, reason: str, code: int = CLOSE_GOING_AWAY) -> None:
        """Ask the client to go: send what waits, then close. What it asks from here on is void."""
        if not self._closed:
            self.flush()
            self._ending = True
            self._forget_deferred()
            if self._attachment is not None:
                self._attachment.close(code, reason)

    # What there is to know of it.

    @property
    def overflowed(self) -> bool:
        """Whether more than the hard limit was queued for its client."""
        return self._channel.outbox.overflowed

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self._closed else self._channel.outbox.size

    @property
    def position(self) -> int:
        """How many frames have been taken for the client so far."""
        return self._channel.outbox.position

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun to run."""
        return self._window.count

    @property
    def events(self) -> int:
        """Frames for the client, so far, that answer no request."""
        return self._channel.outbox.events

    @property
    def shed(self) -> int:
        """Deltas that were left out for the client so far."""
        return self._channel.outbox.shed

    @property
    def ending(self) -> bool:
        """Whether the client has been asked to go."""
        return self._ending

    def _submit(self, frame: rpc.Frame) -> None:
        self._window.submit(len(frame.text))
        self._channel.submit(frame)

    def _answer_or_defer(self, answer: bytes) -> None:
        """Our own answers wait like Hermes' would, so that nobody can pile them up."""
        if self._must_defer():
            self._defer(answer, len(answer))
            self._pause_if_full()
        else:
            self._channel.outbox.put(answer, ANSWER)
            self.flush()

    def _must_defer(self) -> bool:
        return bool(self._deferred) or self._is_slow()

    def _is_slow(self) -> bool:
        """Whether the client leaves its answers unread, or has no link to read them from."""
        attachment = self._attachment
        if attachment is None:
            return True
        return not attachment.writable and self._channel.outbox.size > self._limits.max_unread

    def _defer(self, what: rpc.Frame | bytes, size: int) -> None:
        self._meter.count("limit", "unread")
        self._deferred.append(what)
        self._window.defer(size)

    def _forget_deferred(self) -> None:
        self._deferred.clear()
        self._window.forget_deferred()

    def _drain(self, attachment: Attachment) -> None:
        outbox = self._channel.outbox
        while attachment.writable:
            items = outbox.take(BATCH)
            if not items:
                break
            payloads = [text for _kind, _tag, text in items]
            attachment.send(payloads)
            self._channel.delivered(sum(map(len, payloads)))
        self._window.settle(*self._channel.settlements.take())

    def _release_deferred(self) -> bool:
        """Let deferred requests go on while the client reads; True if there were any.

        Any of them may have been answered on the spot.
        """
        released = False
        while self._deferred and not self._is_slow():
            what = self._deferred.popleft()
            released = True
            if isinstance(what, bytes):
                self._window.release(len(what))
                self._channel.outbox.put(what, ANSWER)
            else:
                self._window.release(len(what.text))
                self._submit(what)
        return released

    def _pause_if_full(self) -> None:
        attachment = self._attachment
        if attachment is not None and not attachment.paused and self._window.is_full:
            attachment.pause_reading()
