"""Where connections come from, as far as limits are counted by it."""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ..limits import FAILURE_PERIOD, FAILURES, MAX_SOURCES

#: What every client of a Unix socket counts as.
LOCAL: Final = "local"
#: One customer of a provider has a whole network of IPv6 addresses (RFC 6177).
_IPV6_PREFIX: Final = 64


def source_of(host: str | None) -> str:
    """What limits are counted by: an IPv4 address, an IPv6 /64 network, or `LOCAL`.

    An IPv4 address in IPv6 clothes (`::ffff:192.0.2.1`) counts as what it is.
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
    """Who has shown wrong keys lately, in bounded memory.

    A source that reaches *count* failures within *period* seconds of its first one is
    blocked until they are over. *now* is a monotonic clock.
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
        self._limit = sources
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def note(self, source: str) -> None:
        """A wrong key came from *source*."""
        began, failures = self._known.get(source, (self._now(), 0))
        if self._now() - began >= self._period:
            began, failures = self._now(), 0
        self._known[source] = began, failures + 1
        self._known.move_to_end(source)
        if len(self._known) > self._limit:
            self._known.popitem(last=False)

    def blocked_for(self, source: str) -> float:
        """Seconds for which further wrong keys of *source* are answered with 429, or 0."""
        began, failures = self._known.get(source, (0.0, 0))
        left = began + self._period - self._now()
        return left if failures >= self._count and left > 0 else 0.0


class SourceCounts:
    """How many links each source has."""

    def __init__(self) -> None:
        self._links: dict[str, int] = {}

    def of(self, source: str) -> int:
        """The links that *source* has now."""
        return self._links.get(source, 0)

    def enter(self, source: str) -> None:
        """One more."""
        self._links[source] = self.of(source) + 1

    def leave(self, source: str) -> None:
        """One less; a source without any is forgotten."""
        left = self.of(source) - 1
        if left > 0:
            self._links[source] = left
        else:
            self._links.pop(source, None)
