"""Round-trip times of the pings of one link (RFC 6455 §5.5.2)."""

from __future__ import annotations

from typing import Final

from ..shared.bounded_map import BoundedMap

#: The most pings that are remembered until their pong comes.
MAX_OUTSTANDING: Final = 64


class RoundTrips:
    """Numbers pings, and measures the time until their pongs.

    A pong answers its ping and all earlier ones (RFC 6455 §5.5.3).
    """

    __slots__ = ("_number", "_sent")

    def __init__(self) -> None:
        self._sent: BoundedMap[bytes, float] = BoundedMap(MAX_OUTSTANDING)
        self._number = 0

    def ping(self, now: float) -> bytes:
        """Return the payload of a ping that is sent at the time *now*, in seconds."""
        self._number += 1
        payload = b"%d" % self._number
        self._sent[payload] = now
        return payload

    def pong(self, payload: bytes, now: float) -> float | None:
        """Return the round-trip time in seconds; None for a pong that answers none of our pings."""
        sent = self._sent.get(payload)
        if sent is None:
            return None
        while next(iter(self._sent)) != payload:
            del self._sent[next(iter(self._sent))]
        del self._sent[payload]
        return now - sent
