"""`/metrics`: the page for Prometheus."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.web.server import Request

from ..access.handshake import Head
from ..access.refusals import Refusal
from ..access.sources import source_of
from ..http.connection import FrontRequest
from ..http.pages import Page, refuse, write_bytes
from ..http.upgrade import head_of
from ..listen.endpoints import is_local
from .metrics import CONTENT_TYPE, Metrics

#: Decides on a request: its head, its source, whether it comes from this machine. None admits.
MayRead = Callable[[Head, str, bool], Refusal | None]


def metrics_page(metrics: Metrics, may_read: MayRead) -> Page:
    """Return the page of *metrics*; *may_read* decides on each request."""

    def write(request: Request) -> bytes:
        address = request.getClientAddress()
        client = cast("FrontRequest", request).find_client()
        # The client of a Unix socket may be a proxy, so it does not count as local.
        refused = may_read(
            head_of(request), source_of(client.host), client.host is not None and is_local(address)
        )
        if refused is not None:
            return refuse(request, refused)
        return write_bytes(request, CONTENT_TYPE.encode(), metrics.render())

    return Page(write)
