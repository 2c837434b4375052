"""The pages and `/api/ws`, each at one exact path.

Behind twisted.web's `Site` rather than on Autobahn's own server, for its limits on
request heads and for refusals with a body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from twisted.internet.interfaces import IAddress, IProtocolNegotiationFactory, IReactorTime
from twisted.logger import Logger
from twisted.web import http
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request, Site
from zope.interface import classImplementsOnly, implementedBy

from ..access.handshake import PATH
from ..limits import Limits
from ..listen.peers import TrustedProxies, peer_name
from ..meter import Meter, NullMeter
from ..quota import Quota
from ..seats.journal import Journal
from .connection import FrontChannel, FrontRequest
from .pages import NO_SUCH_PAGE, Page, refuse, write_index, write_json
from .pending import Pending, descriptor_share
from .upgrade import AttachResource

#: Refusals that are logged in a minute; further ones are counted.
LOGGED_REFUSALS = 10

#: Failed TLS handshakes that are logged in a minute.
LOGGED_TLS_FAILURES = 10
#: Returns whether the service is ready, and the body of /ready.
Readiness = Callable[[], tuple[bool, dict[str, Any]]]


class FrontSite(Site):
    """The pages and `/api/ws`, each at one exact path."""

    protocol = FrontChannel  # type: ignore[assignment]  # Plain HTTP/1.1: an upgrade over HTTP/2 would fail.
    requestFactory = FrontRequest
    displayTracebacks = False
    noisy = False
    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        limits: Limits,
        attach: AttachResource,
        ready: Readiness,
        journal: Journal,
        proxies: TrustedProxies,
        pages: Mapping[bytes, IResource] | None = None,
        meter: Meter | None = None,
    ) -> None:
        """*pages* are further pages by their paths."""
        # No timeout of twisted.web's own, which would log each time: the channel has one.
        super().__init__(Resource(), timeout=None, reactor=clock)  # type: ignore[no-untyped-call]
        self.clock = clock
        self.limits = limits
        self.journal = journal
        self.proxies = proxies
        self.meter = meter or NullMeter()
        self.pending = Pending(min(limits.max_pending, descriptor_share()), self.meter)
        self._refusals = Quota(LOGGED_REFUSALS, 60.0, clock.seconds)
        self._tls_failures = Quota(LOGGED_TLS_FAILURES, 60.0, clock.seconds)
        self._pages: dict[bytes, IResource] = {
            b"/": Page(write_index),
            b"/health": Page(lambda request: write_json(request, 200, {"status": "ok"})),
            b"/ready": Page(lambda request: _write_readiness(request, *ready())),
            PATH: attach,
            **(pages or {}),
        }
        self._nothing = Page(lambda request: refuse(request, NO_SUCH_PAGE))

    def getResourceFor(self, request: Request) -> IResource:
        """Find the page by the raw bytes of the path: nothing is decoded, no dot segments."""
        path, _, _query = request.uri.partition(b"?")
        return self._pages.get(path, self._nothing)

    def log_tls_failure(self, what: str, peer: IAddress) -> None:
        """Log a failed TLS handshake in one line, within a quota."""
        if self._tls_failures.spend():
            missed = self._tls_failures.take_missed()
            self._log.info(
                "{what} ({peer}){more}",
                what=what,
                peer=peer_name(peer),
                more=f" ({missed} more were not logged)" if missed else "",
            )

    def log(self, request: http.Request) -> None:
        """Log and journal a refused request. Never the query, which may hold a key."""
        refusal = cast("FrontRequest", request).refusal
        if refusal is not None:
            self.journal.refused(refusal, cast("FrontRequest", request).came_from().name)
        if request.code >= 400 and request.code != 404:
            what = f"{request.code} {refusal.code}" if refusal is not None else str(request.code)
            self.log_refusal(what, cast("FrontRequest", request).came_from().name)

    def log_refusal(self, what: str, peer: str) -> None:
        """Log one line, within the quota of refusals."""
        if not self._refusals.spend():
            return
        missed = self._refusals.take_missed()
        self._log.info(
            "refused {peer}: {what}{more}",
            peer=peer,
            what=what,
            more=f" ({missed} more were not logged)" if missed else "",
        )


# With `h2` installed twisted.web would negotiate HTTP/2 in TLS (RFC 7301), over which a
# WebSocket upgrade fails. A server that negotiates nothing gets HTTP/1.1.
classImplementsOnly(FrontSite, implementedBy(Site) - IProtocolNegotiationFactory)  # type: ignore[no-untyped-call]


def _write_readiness(request: Request, ready: bool, body: dict[str, Any]) -> bytes:
    return write_json(request, 200 if ready else 503, body)
