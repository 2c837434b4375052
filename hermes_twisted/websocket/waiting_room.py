"""The waiting room: shows a few refused terminal UIs why they were refused.

The stock UI shows the same empty error for every HTTP refusal, and reconnects without a pause if a
WebSocket is closed at once. So the refused handshakes of a few of them are upgraded nevertheless:

1. `looks_like_terminal` decides which clients may be held, `Capacity` how many.
2. A held client gets the `explanation`, but never `gateway.ready`.
3. Its requests get an empty `reply`, so that the UI stays alive and shows the text.
4. After `Limits.hold_time` seconds, or too many bytes, its TCP connection is dropped.

Nothing here leads to a seat or a backend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from .. import rpc
from ..access.handshake import Head
from ..access.refusals import Refusal
from ..access.sources import SourceCounts
from ..limits import KIB, Limits
from ..meter import Meter
from .strict import StrictFactory, StrictProtocol

#: The most bytes of a held client, in all and in one message.
MAX_RECEIVED: Final = 256 * KIB
MAX_MESSAGE: Final = 16 * KIB
#: The notification's key in the UI, which shows it until it is cleared or replaced.
NOTICE_KEY: Final = "hermes-attach.refused"
#: `User-Agent` of the UI's WebSocket library: Node's own, or the one in the UI's bundle.
_USER_AGENTS: Final = frozenset({b"node", b"undici"})


def looks_like_terminal(head: Head) -> bool:
    """Return whether the handshake seems to come from the stock UI.

    It has no `Origin`, which every browser sends, and the `User-Agent` of the UI's library.
    """
    agent = head.one(b"user-agent") or b""
    return b"origin" not in head.headers and agent.lower() in _USER_AGENTS


class Capacity:
    """Limits the number of held clients, in all and by source."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._counts = SourceCounts()

    def take(self, source: str) -> bool:
        """Take a place for a client of *source*; return False if none is free."""
        if self._taken >= self._limits.max_held:
            return False
        if self._counts.of(source) >= self._limits.max_held_per_address:
            return False
        self._taken += 1
        self._counts.enter(source)
        return True

    def leave(self, source: str) -> None:
        """Free the place of a client of *source*."""
        self._taken -= 1
        self._counts.leave(source)


def explanation(refusal: Refusal) -> list[bytes]:
    """Return the frames that explain a refusal: a sticky notification and a notice."""
    notification = {
        "id": NOTICE_KEY,
        "key": NOTICE_KEY,
        "kind": "sticky",
        "level": "error",
        "text": f"Not attached: {refusal.title}",
        "ttl_ms": None,
    }
    line = f"Not attached. {refusal.title} {refusal.advice}"
    return [rpc.event("notification.show", notification), rpc.notice(line)]


def reply(text: bytes) -> bytes:
    """Return the answer to a message of a held client: an empty result, or a parse error."""
    try:
        return rpc.result(rpc.parse(text).id, {})
    except rpc.BadFrame as bad:
        return bad.answer


class WaitingProtocol(StrictProtocol):
    """The WebSocket of one held client."""

    factory: WaitingRoom
    takes_binary = True
    """Binary messages are ignored: a close would make the UI reconnect."""

    def __init__(self, refusal: Refusal, source: str) -> None:
        super().__init__()
        self.source = source
        self._refusal = refusal
        self._received = 0
        self._time_limit: IDelayedCall | None = None

    def onOpen(self) -> None:
        """Send the explanation, and start the time limit."""
        super().onOpen()
        # Drops TCP, because after a close frame the UI would reconnect at once.
        self._time_limit = self.factory.clock.callLater(self.factory.limits.hold_time, self.abort)
        for payload in explanation(self._refusal):
            self.sendMessage(payload)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Parse bytes from the client; drop it after `MAX_RECEIVED` of them."""
        self._received += len(data)
        if self._received > MAX_RECEIVED:
            self.abort()
        else:
            super().dataReceived(data)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Answer a text message."""
        if not isBinary and payload.strip():
            self.sendMessage(reply(payload))  # type: ignore[no-untyped-call]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Cancel the time limit."""
        super().onClose(wasClean, code, reason)
        if self._time_limit is not None and self._time_limit.active():
            self._time_limit.cancel()
        self._time_limit = None

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Free the place in the waiting room."""
        super().connectionLost(reason)
        self.factory.left(self)


class WaitingRoom(StrictFactory):
    """The held clients; `len` returns their number."""

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter) -> None:
        small_limits = replace(limits, max_message=MAX_MESSAGE, compress=False)
        super().__init__(clock, small_limits, meter)
        self._capacity = Capacity(limits)
        self._held: dict[WaitingProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, refusal: Refusal, source: str) -> WaitingProtocol | None:
        """Return a protocol to hold a refused client with, None if no place is free."""
        if not self._capacity.take(source):
            self.meter.count("limit", "held")
            return None
        self.meter.count("held", refusal.code)
        protocol = WaitingProtocol(refusal, source)
        self.prepare(protocol)
        self._held[protocol] = None
        return protocol

    def left(self, protocol: WaitingProtocol) -> None:
        """Free the place of a client whose connection has ended."""
        del self._held[protocol]
        self._capacity.leave(protocol.source)

    def close(self) -> None:
        """Drop all held clients."""
        for protocol in list(self._held):
            protocol.abort()
