"""The HTTP site: the pages and `/api/ws`.

It is a `Site` of twisted.web, not a server of Autobahn, for the limits on request heads and for
refusals with a body.
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

#: Refusals that are logged in a minute; further ones are only counted.
LOGGED_REFUSALS = 10

#: Failed TLS handshakes that are logged in a minute; further ones are only counted.
LOGGED_TLS_FAILURES = 10
#: Returns whether the service is ready, and the body of /ready.
Readiness = Callable[[], tuple[bool, dict[str, Any]]]


class FrontSite(Site):
    """Serves each page, and `/api/ws`, at one exact path."""

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
        # The channel has a deadline; twisted.web's timeout would log each time.
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
        self._not_found = Page(lambda request: refuse(request, NO_SUCH_PAGE))

    def getResourceFor(self, request: Request) -> IResource:
        """Return the page at the raw bytes of the path, without decoding or dot segments."""
        path, _, _query = request.uri.partition(b"?")
        return self._pages.get(path, self._not_found)

    def log_tls_failure(self, explanation: str, peer: IAddress) -> None:
        """Log a failed TLS handshake in one line, at most `LOGGED_TLS_FAILURES` in a minute."""
        if self._tls_failures.spend():
            self._log.info(
                "{explanation} ({peer}){more}",
                explanation=explanation,
                peer=peer_name(peer),
                more=_unlogged(self._tls_failures),
            )

    def log(self, request: http.Request) -> None:
        """Log and journal a refused request, without the query, which may contain a key."""
        front_request = cast("FrontRequest", request)
        refusal = front_request.refusal
        if refusal is None and request.code < 400:
            return
        peer = front_request.find_client().name
        if refusal is not None:
            self.journal.refused(refusal, peer)
        if request.code >= 400 and request.code != 404:
            self.log_refusal(
                f"{request.code} {refusal.code}" if refusal else str(request.code), peer
            )

    def log_refusal(self, reason: str, peer: str) -> None:
        """Log a refusal in one line, at most `LOGGED_REFUSALS` in a minute."""
        if self._refusals.spend():
            self._log.info(
                "refused {peer}: {reason}{more}",
                peer=peer,
                reason=reason,
                more=_unlogged(self._refusals),
            )


# With `h2` installed twisted.web would negotiate HTTP/2 in TLS (RFC 7301), over which a
# WebSocket upgrade fails. A server that negotiates nothing gets HTTP/1.1.
classImplementsOnly(FrontSite, implementedBy(Site) - IProtocolNegotiationFactory)  # type: ignore[no-untyped-call]


def _unlogged(quota: Quota) -> str:
    """Return a remark, for the end of a line, on the lines that *quota* has suppressed."""
    missed = quota.take_missed()
    return f" ({missed} more were not logged)" if missed else ""


def _write_readiness(request: Request, ready: bool, body: dict[str, Any]) -> bytes:
    return write_json(request, 200 if ready else 503, body)
