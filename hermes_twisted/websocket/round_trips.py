"""How long a ping's way there and a pong's way back take (RFC 6455 §5.5.2)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

#: Pings without a pong that are remembered.
MAX_OUTSTANDING: Final = 64


class RoundTrips:
    """Numbers the pings of one link; a pong ends its ping and the earlier ones (§5.5.3)."""

    def __init__(self) -> None:
        self._sent: OrderedDict[bytes, float] = OrderedDict()
        self._number = 0
        self.last: float | None = None
        """The latest one, in seconds; None until there is one."""

    @property
    def outstanding(self) -> int:
        """Pings without a pong."""
        return len(self._sent)

    def ping(self, now: float) -> bytes:
        """The payload of a ping that is sent *now*."""
        self._number += 1
        payload = b"%d" % self._number
        self._sent[payload] = now
        if len(self._sent) > MAX_OUTSTANDING:
            self._sent.popitem(last=False)
        return payload

    def pong(self, payload: bytes, now: float) -> float | None:
        """The round trip, in seconds; None for a pong that nobody asked for."""
        sent = self._sent.get(payload)
        if sent is None:
            return None
        while next(iter(self._sent)) != payload:
            self._sent.popitem(last=False)
        del self._sent[payload]
        self.last = now - sent
        return self.last
