"""Where refused terminal UIs are held for a while: see `core.courtesy`.

Nothing here leads to a seat or a backend. What a held client sends is read within
tiny limits and answered with nothing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final, cast

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .access.refusals import Refused
from .core.courtesy import Places, explanation, reply
from .limits import KIB, Limits
from .meter import Meter
from .strict import StrictFactory, StrictProtocol

#: Bytes that a held client may send in all, and in one message.
MAX_RECEIVED: Final = 256 * KIB
MAX_MESSAGE: Final = 16 * KIB


class WaitingProtocol(StrictProtocol):
    """One held client, until its time is over or it goes."""

    factory: WaitingRoom
    refused: Refused
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
        self._let_go = self.factory.clock.callLater(limits.hold, self.abort)
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
        self._places = Places(limits)
        self._held: dict[WaitingProtocol, None] = {}

    def __len__(self) -> int:
        return len(self._held)

    def enter(self, refused: Refused, source: str) -> WaitingProtocol | None:
        """A protocol for a refused client, or None if no place is free."""
        if not self._places.take(source):
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
        self._places.leave(protocol.source)

    def close(self) -> None:
        """Let everyone go."""
        for protocol in list(self._held):
            protocol.abort()
