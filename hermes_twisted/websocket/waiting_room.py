"""The courtesy hold: a person whose key is refused reads why, in the terminal UI itself.

The stock UI shows the same empty error for every HTTP refusal, and turns a WebSocket
that is closed at once into a storm of new ones. So a few refused UIs are let through
the upgrade, into a waiting room: they are told what is wrong, and that is all. Nothing
here leads to a seat or a backend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .. import rpc
from ..access.handshake import Head
from ..access.refusals import Refusal
from ..access.sources import SourceCounts
from ..limits import KIB, Limits
from ..meter import Meter
from .strict import StrictFactory, StrictProtocol

#: What the UI's WebSocket library calls itself: Node's own, or the one in the bundle.
_USER_AGENTS: Final = frozenset({b"node", b"undici"})
#: The text is shown until this is cleared or replaced.
NOTICE_KEY: Final = "hermes-attach.refused"


def looks_like_terminal(head: Head) -> bool:
    """Whether the stock UI asks: every browser sends an `Origin`, and other clients their name."""
    agent = head.one(b"user-agent") or b""
    return b"origin" not in head.headers and agent.lower() in _USER_AGENTS


def explanation(refused: Refusal) -> list[bytes]:
    """The frames that tell the UI's user: a line that stays, and one in the transcript."""
    text = f"{refused.title} {refused.advice}"
    notice = {
        "id": NOTICE_KEY,
        "key": NOTICE_KEY,
        "kind": "sticky",
        "level": "error",
        "text": f"Not attached: {refused.title}",
        "ttl_ms": None,
    }
    return [rpc.event("notification.show", notice), rpc.notice(f"Not attached. {text}")]


def reply(text: bytes) -> bytes:
    """The answer to whatever a held client asks: nothing, politely."""
    try:
        return rpc.result(rpc.parse(text).id, {})
    except rpc.BadFrame as bad:
        return bad.answer


class Capacity:
    """The waiting room's places: few in all, fewer for one source."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._taken = 0
        self._counts = SourceCounts()

    def take(self, source: str) -> bool:
        """Whether there is a place, which is then taken."""
        if self._taken >= self._limits.max_held:
            return False
        if self._counts.of(source) >= self._limits.max_held_per_address:
            return False
        self._taken += 1
        self._counts.enter(source)
        return True

    def leave(self, source: str) -> None:
        """The place is free again."""
        self._taken -= 1
        self._counts.leave(source)


#: Bytes that a held client may send in all, and in one message.
MAX_RECEIVED: Final = 256 * KIB
MAX_MESSAGE: Final = 16 * KIB


class WaitingProtocol(StrictProtocol):
    """One held client, until its time is over or it goes."""

    factory: WaitingRoom
    refused: Refusal
    source: str
    takes_binary = True
    """It is not looked at."""
    _received = 0
    _let_go: IDelayedCall | None = None

    def onOpen(self) -> None:
        """Say what is wrong; `gateway.ready` is never sent."""
        super().onOpen()
        limits = self.factory.limits
        # By dropping TCP: a close frame would make the UI come again at once.
        self._let_go = self.factory.clock.callLater(limits.hold_time, self.abort)
        for payload in explanation(self.refused):
            self.sendMessage(payload)  # type: ignore[no-untyped-call]

    def dataReceived(self, data: bytes) -> None:
        """Bytes from the client, up to a limit in all."""
        self._received += len(data)
        if self._received > MAX_RECEIVED:
            self.abort()
        else:
            super().dataReceived(data)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """Whatever it asks, the answer is empty: so the UI stays alive and shows the text."""
        if not isBinary and payload.strip():
            self.sendMessage(reply(payload))  # type: ignore[no-untyped-call]

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """It has gone."""
        super().onClose(wasClean, code, reason)
        if self._let_go is not None and self._let_go.active():
            self._let_go.cancel()
        self._let_go = None

    def connectionLost(self, reason: Any = None) -> None:
        """The place is free, however it went."""
        super().connectionLost(reason)
        self.factory.left(self)


class WaitingRoom(StrictFactory):
    """Autobahn with the smallest limits; what it sends is bounded by what it reads."""

    protocol = WaitingProtocol  # type: ignore[assignment]

    def __init__(self, clock: IReactorTime, limits: Limits, meter: Meter) -> None:
        tiny = replace(limits, max_message=MAX_MESSAGE, compress=False)
        super().__init__(clock, tiny, meter)
        self._capacity = Capacity(limits)
        self._held: dict[WaitingProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, refused: Refusal, source: str) -> WaitingProtocol | None:
        """A protocol for a refused client, or None if no place is free."""
        if not self._capacity.take(source):
            self.meter.count("limit", "held")
            return None
        self.meter.count("held", refused.code)
        protocol = cast("WaitingProtocol", super().buildProtocol(None))
        protocol.refused = refused
        protocol.source = source
        self._held[protocol] = None
        return protocol

    def left(self, protocol: WaitingProtocol) -> None:
        """One has gone."""
        del self._held[protocol]
        self._capacity.leave(protocol.source)

    def close(self) -> None:
        """Let everyone go."""
        for protocol in list(self._held):
            protocol.abort()
