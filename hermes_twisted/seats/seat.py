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
from .ports import Channel, Link

#: Bytes that are handed to the socket in one write.
BATCH: Final = 256 * 1024

#: RFC 6455 §7.4.1
CLOSE_GOING_AWAY: Final = 1001
CLOSE_POLICY: Final = 1008


class Seat:
    """One client, from admission until its link ends.

    *open_channel* is called with the callback that is to be called, on the loop,
    when the outbox has something for an idle seat.
    """

    def __init__(
        self,
        number: int,
        link: Link,
        limits: Limits,
        open_channel: Callable[[Callable[[], None]], Channel],
        *,
        key: Key,
        peer: str = "",
        meter: Meter | None = None,
    ) -> None:
        self.number = number
        self.key = key
        """What it was admitted with."""
        self.peer = peer
        self.denied = 0
        """Requests that the key's scope forbids."""
        self._link = link
        self._limits = limits
        self._meter = meter or NullMeter()
        self._held: deque[rpc.Frame | bytes] = deque()
        self._held_bytes = 0
        self._waiting = 0
        self._waiting_bytes = 0
        self._paused = False
        self._closed = False
        self._ending = False
        self._aborted = False
        self._flushing = True  # Until the channel is there.
        self._channel = open_channel(self.flush)
        self._flushing = False
        self.flush()

    def received(self, text: bytes) -> None:
        """A message of the client. What is wrong with it is answered, never raised."""
        if self._ending or not text or text.isspace():
            return
        try:
            frame = rpc.parse(text, self._limits.max_depth, self._limits.max_containers)
        except rpc.BadFrame as bad:
            self._meter.count("bad_frame", bad.why)
            self._answer_or_hold(bad.answer)
            return
        if frame.method == rpc.PING_METHOD:
            self._answer_or_hold(rpc.result(frame.id, {"ok": True}))
            return
        refused = scopes.refusal(self.key.scope, frame)
        if refused is not None:
            self.denied += 1
            self._meter.count("denied", self.key.scope)
            self._answer_or_hold(refused)
            return
        if self._must_hold() and not frame.urgent:
            self._hold(frame, len(text))
        else:
            self._submit(frame)
        self._pause_if_full()

    def tell(self, message: str) -> None:
        """Show the user a line of text."""
        self._channel.outbox.put(rpc.notice(message))
        self.flush()

    def flush(self) -> None:
        """Move what waits to the link, as far as that takes it."""
        if self._closed or self._flushing:
            return
        self._flushing = True
        try:
            self._drain()
            while self._release_held():
                self._drain()
        finally:
            self._flushing = False
        if self.overflowed:
            if not self._aborted:
                self._aborted = True
                self._meter.count("limit", "hard")
                self._link.abort()
            return
        if self._paused and not self._is_full(of=0.5):
            self._paused = False
            self._link.resume_reading()

    @property
    def overflowed(self) -> bool:
        """Whether its client read so slowly that it had to go."""
        return self._channel.outbox.overflowed

    @property
    def unsent(self) -> int:
        """Bytes that wait for the client."""
        return 0 if self._closed else self._channel.outbox.size

    @property
    def waiting(self) -> int:
        """Requests that nobody has begun to run."""
        return self._waiting + len(self._held)

    @property
    def events(self) -> int:
        """Frames for the client, so far, that answer no request."""
        return self._channel.outbox.events

    @property
    def shed(self) -> int:
        """Live text that was left out for the client, in frames, so far."""
        return self._channel.outbox.shed

    @property
    def reading(self) -> bool:
        """Whether its requests are taken: not while too many wait."""
        return not self._paused

    @property
    def ending(self) -> bool:
        """Whether the client has been asked to go."""
        return self._ending

    def end(self, reason: str, code: int = CLOSE_GOING_AWAY) -> None:
        """Ask the client to go: what waits for it first, then close. Its own is void from here."""
        if not self._closed:
            self.flush()
            self._ending = True
            self._held.clear()
            self._held_bytes = 0
            self._link.close(code, reason)

    def link_lost(self) -> None:
        """The link has ended, and with it, today, the seat."""
        if not self._closed:
            self._closed = True
            self._held.clear()
            self._channel.close()

    def _submit(self, frame: rpc.Frame) -> None:
        self._waiting += 1
        self._waiting_bytes += len(frame.text)
        self._channel.submit(frame)

    def _answer_or_hold(self, answer: bytes) -> None:
        """Our own answers wait like Hermes' would, so that nobody can pile them up."""
        if self._must_hold():
            self._hold(answer, len(answer))
            self._pause_if_full()
        else:
            self._channel.outbox.put(answer, ANSWER)
            self.flush()

    def _must_hold(self) -> bool:
        return bool(self._held) or self._is_slow()

    def _is_slow(self) -> bool:
        return not self._link.writable and self._channel.outbox.size > self._limits.max_unread

    def _hold(self, what: rpc.Frame | bytes, size: int) -> None:
        self._meter.count("limit", "unread")
        self._held.append(what)
        self._held_bytes += size

    def _drain(self) -> None:
        outbox = self._channel.outbox
        while self._link.writable:
            items = outbox.take(BATCH)
            if not items:
                break
            payloads = [text for _kind, _tag, text in items]
            self._link.send(payloads)
            self._channel.delivered(sum(map(len, payloads)))
        count, size = outbox.take_settled()
        self._waiting -= count
        self._waiting_bytes -= size

    def _release_held(self) -> bool:
        """Let requests go on that waited for a slow reader; True if there were any.

        Any of them may have been answered on the spot.
        """
        released = False
        while self._held and not self._is_slow():
            what = self._held.popleft()
            released = True
            if isinstance(what, bytes):
                self._held_bytes -= len(what)
                self._channel.outbox.put(what, ANSWER)
            else:
                self._held_bytes -= len(what.text)
                self._submit(what)
        return released

    def _pause_if_full(self) -> None:
        if not self._paused and self._is_full():
            self._paused = True
            self._link.pause_reading()

    def _is_full(self, of: float = 1.0) -> bool:
        """Whether what waits has reached this part *of* the limits."""
        count = self._waiting + len(self._held)
        size = self._waiting_bytes + self._held_bytes
        return (
            count >= self._limits.max_waiting_requests * of
            or size >= self._limits.max_waiting_bytes * of
        )
