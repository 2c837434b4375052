"""Small pages, and refusals with advice.

A client that accepts JSON gets a refusal as a problem (RFC 9457), a browser as a page, and any
other client as two lines of text. Nothing of the request is ever quoted.
"""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final, cast

from twisted.web.resource import Resource
from twisted.web.server import Request

from ..access.refusals import Refusal
from .connection import FrontRequest

NO_SUCH_PAGE: Final = Refusal(
    404,
    "not-found",
    "There is no page at this address.",
    "The terminal UI attaches at /api/ws: ws://HOST:PORT/api/ws?token=KEY.",
)
ONLY_GET: Final = Refusal(
    405, "method", "This page can only be read.", "Use GET.", (("Allow", "GET, HEAD"),)
)

_INDEX_TITLE: Final = "hermes-attach: a terminal UI of Hermes Agent attaches here."
_INDEX_LINES: Final = (
    "export HERMES_TUI_GATEWAY_URL='ws://THIS-HOST:PORT/api/ws?token=KEY'",
    "hermes --tui",
)
_INDEX_HINT: Final = "A key is made on the server: hermes-attach key new NAME."
_POLICY: Final = b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


def write_json(request: Request, status: int, body: dict[str, Any]) -> bytes:
    """Write a JSON page, and return its body."""
    return _page(request, status, b"application/json", json.dumps(body).encode() + b"\n")


def write_bytes(request: Request, kind: bytes, body: bytes) -> bytes:
    """Write a page of the content type *kind*, and return its body."""
    return _page(request, 200, kind, body)


def refuse(request: Request, refused: Refusal) -> bytes:
    """Write a refusal as JSON, HTML or text, by what the client accepts; return its body."""
    cast("FrontRequest", request).refusal = refused
    for name, value in refused.headers:
        request.setHeader(name.encode(), value.encode())
    accept = _accepted(request)
    if b"json" in accept:
        problem = {
            "title": refused.title,
            "status": refused.status,
            "detail": refused.advice,
            "code": refused.code,
        }
        body = json.dumps(problem).encode() + b"\n"
        return _page(request, refused.status, b"application/problem+json", body)
    if b"text/html" in accept:
        return _html(request, refused.status, f"{refused.status}: {refused.title}", refused.advice)
    text = f"{refused.status}: {refused.title}\n{refused.advice}\n"
    return _text(request, refused.status, text)


def write_index(request: Request) -> bytes:
    """Write the index page, which says what this server is and how to attach."""
    if b"text/html" in _accepted(request):
        return _html(request, 200, _INDEX_TITLE, "On your machine:", *_INDEX_LINES, _INDEX_HINT)
    lines = "".join(f"  {line}\n" for line in _INDEX_LINES)
    return _text(request, 200, f"{_INDEX_TITLE}\n\nOn your machine:\n{lines}\n{_INDEX_HINT}\n")


class Page(Resource):
    """A page for GET and HEAD, written by a function."""

    isLeaf = True

    def __init__(self, write: Callable[[Request], bytes]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._write = write

    def render(self, request: Request) -> bytes:
        """Write the page; refuse every method but GET and HEAD with 405."""
        if request.method not in (b"GET", b"HEAD"):
            return refuse(request, ONLY_GET)
        return self._write(request)


def _accepted(request: Request) -> bytes:
    return b",".join(request.requestHeaders.getRawHeaders(b"accept", []))


def _text(request: Request, status: int, text: str) -> bytes:
    return _page(request, status, b"text/plain; charset=utf-8", text.encode())


def _html(request: Request, status: int, title: str, *lines: str) -> bytes:
    body = "".join(f"<p>{html.escape(line)}</p>" for line in lines)
    page = (
        '<!doctype html><html lang="en"><meta charset="utf-8">'
        f"<title>{html.escape(title)}</title><h1>{html.escape(title)}</h1>{body}</html>\n"
    )
    return _page(request, status, b"text/html; charset=utf-8", page.encode())


def _page(request: Request, status: int, kind: bytes, body: bytes) -> bytes:
    request.setResponseCode(status, HTTPStatus(status).phrase.encode())
    request.setHeader(b"content-type", kind)
    request.setHeader(b"content-length", str(len(body)).encode())
    request.setHeader(b"cache-control", b"no-store")
    request.setHeader(b"x-content-type-options", b"nosniff")
    request.setHeader(b"content-security-policy", _POLICY)
    request.setHeader(b"referrer-policy", b"no-referrer")
    return b"" if request.method == b"HEAD" else body
