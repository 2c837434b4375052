"""A seat: checks a client's requests, and moves frames from the outbox to its link.

It uses a link (a WebSocket) and a channel (to a backend) through `ports` only, on the event loop.
Other threads reach it only through the outbox.
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

#: Bytes of frames that are passed to the link in one write.
BATCH: Final = 256 * 1024

#: Close codes of RFC 6455 §7.4.1.
CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008


class Seat:
    """The state of one client, separate from its connection.

    It has the client's key, its channel to the backend, its deferred requests and its position. The
    state of a connection is in its `Attachment`. Between two links a seat has none, and frames wait
    in the outbox.
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
        """*open_channel* opens the channel; it gets the callback that wakes the seat."""
        self.number = number
        self.key = key
        """The key that admitted the client."""
        self.peer = ""
        """The client's latest address, for people."""
        self.denied = 0
        """The number of requests that the key's scope has denied."""
        self._limits = limits
        self._meter = meter or NullMeter()
        self._attachment: Attachment | None = None
        self._window = RequestWindow(limits)
        self._deferred: deque[rpc.Frame | bytes] = deque()
        self._closed = False
        self._ending = False
        self._flushing = False
        self._channel = open_channel(self.flush)

    # The link.

    def attach(self, attachment: Attachment) -> None:
        """Attach a link. Raises `ValueError` if there is one already, or the seat is closed."""
        if self._closed or self._attachment is not None:
            raise ValueError(f"seat {self.number} cannot take a link now")
        self._attachment = attachment
        self.peer = attachment.peer
        self.flush()
        self._pause_if_full()

    def detach(self, attachment: Attachment) -> None:
        """Detach a link that has ended. Deferred requests and frames wait for the next one."""
        if self._attachment is attachment:
            self._attachment = None

    def close(self) -> None:
        """Close the channel and drop all that waits, because the client will not return."""
        if not self._closed:
            self._closed = True
            self._attachment = None
            self._forget_deferred()
            self._channel.close()

    @property
    def attachment(self) -> Attachment | None:
        """The current link; None between two links."""
        return self._attachment

    # From the client.

    def received(self, text: bytes) -> None:
        """Handle a message of the client. Errors are answered to the client, never raised."""
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

    # To the client.

    def notify(self, message: str) -> None:
        """Send the client a notice."""
        self._channel.outbox.put(rpc.notice(message))
        self.flush()

    def flush(self) -> None:
        """Move frames to the link while it is writable, then release deferred requests."""
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
        """Send what waits, then close the link. Further requests of the client are ignored."""
        if not self._closed:
            self.flush()
            self._ending = True
            self._forget_deferred()
            if self._attachment is not None:
                self._attachment.close(code, reason)

    # For metrics and `status`.

    @property
    def overflowed(self) -> bool:
        """Whether the outbox has overflowed, so that the client is disconnected."""
        return self._channel.outbox.overflowed

    @property
    def unsent(self) -> int:
        """Bytes that wait in the outbox."""
        return 0 if self._closed else self._channel.outbox.size

    @property
    def position(self) -> int:
        """The position of the last frame that left the outbox."""
        return self._channel.outbox.position

    @property
    def waiting(self) -> int:
        """The number of requests that are not settled."""
        return self._window.count

    @property
    def events(self) -> int:
        """The number of frames for the client, so far, that answer no request."""
        return self._channel.outbox.events

    @property
    def shed(self) -> int:
        """The number of deltas that were shed so far."""
        return self._channel.outbox.shed

    @property
    def ending(self) -> bool:
        """Whether `end` was called."""
        return self._ending

    def _submit(self, frame: rpc.Frame) -> None:
        self._window.submit(len(frame.text))
        self._channel.submit(frame)

    def _answer_or_defer(self, answer: bytes) -> None:
        """Queue an answer of the front, or defer it, so that a client cannot accumulate them."""
        if self._must_defer():
            self._defer(answer, len(answer))
            self._pause_if_full()
        else:
            self._channel.outbox.put(answer, ANSWER)
            self.flush()

    def _must_defer(self) -> bool:
        """Return whether an ordinary request has to wait in the front."""
        return bool(self._deferred) or self._is_slow()

    def _is_slow(self) -> bool:
        """Return whether the client does not read its answers, or has no link."""
        attachment = self._attachment
        if attachment is None:
            return True
        return not attachment.writable and self._channel.outbox.size > self._limits.max_unread

    def _defer(self, item: rpc.Frame | bytes, size: int) -> None:
        """Defer a request, or an answer of the front."""
        self._meter.count("limit", "unread")
        self._deferred.append(item)
        self._window.defer(size)

    def _forget_deferred(self) -> None:
        self._deferred.clear()
        self._window.forget_deferred()

    def _drain(self, attachment: Attachment) -> None:
        """Send frames while the link is writable, and count settled requests."""
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
        """Release deferred requests while the client reads; return whether there were any.

        Some of them may have been answered already.
        """
        released = False
        while self._deferred and not self._is_slow():
            item = self._deferred.popleft()
            released = True
            if isinstance(item, bytes):
                self._window.release(len(item))
                self._channel.outbox.put(item, ANSWER)
            else:
                self._window.release(len(item.text))
                self._submit(item)
        return released

    def _pause_if_full(self) -> None:
        attachment = self._attachment
        if attachment is not None and not attachment.paused and self._window.is_full:
            attachment.pause_reading()
