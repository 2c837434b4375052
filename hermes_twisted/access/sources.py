"""Sources of clients, by which limits per address are counted, and their counters."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Final

from ..limits import FAILURE_PERIOD, FAILURES, MAX_SOURCES
from ..shared.bounded_map import BoundedMap

#: The source of all clients of Unix sockets.
LOCAL: Final = "local"
#: Bits of an IPv6 source: providers assign each customer a whole network (RFC 6177).
_IPV6_PREFIX: Final = 64


def source_of(host: str | None) -> str:
    """Return the source of an address: IPv4 address, IPv6 /64 network, or `LOCAL`.

    IPv4-mapped IPv6 addresses (`::ffff:192.0.2.1`) are unwrapped. *host* is None for a Unix socket.
    """
    if host is None:
        return LOCAL
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return LOCAL
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, _IPV6_PREFIX), strict=False))


class Failures:
    """Counts wrong keys by source, for the *sources* sources that failed most recently.

    A source with *count* failures within *period* seconds of its first one is blocked until that
    period ends. *now* is a monotonic clock, in seconds.
    """

    def __init__(
        self,
        now: Callable[[], float],
        *,
        count: int = FAILURES,
        period: float = FAILURE_PERIOD,
        sources: int = MAX_SOURCES,
    ) -> None:
        self._now = now
        self._count = count
        self._period = period
        self._known: BoundedMap[str, tuple[float, int]] = BoundedMap(sources)

    def __len__(self) -> int:
        return len(self._known)

    def note(self, source: str) -> None:
        """Count a wrong key from *source*."""
        began, failures = self._known.get(source, (self._now(), 0))
        if self._now() - began >= self._period:
            began, failures = self._now(), 0
        self._known[source] = began, failures + 1

    def blocked_for(self, source: str) -> float:
        """Return the seconds for which *source* is blocked, 0 if it is not."""
        began, failures = self._known.get(source, (0.0, 0))
        left = began + self._period - self._now()
        return left if failures >= self._count and left > 0 else 0.0


class SourceCounts:
    """Counts the links, or the held clients, of each source."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def of(self, source: str) -> int:
        """Return the count of *source*."""
        return self._counts.get(source, 0)

    def enter(self, source: str) -> None:
        """Count one more of *source*."""
        self._counts[source] = self.of(source) + 1

    def leave(self, source: str) -> None:
        """Count one less of *source*; forget the source if none is left."""
        left = self.of(source) - 1
        if left > 0:
            self._counts[source] = left
        else:
            self._counts.pop(source, None)
