"""Checks the grammar of a request's head by RFC 9112, without its tolerances.

A proxy in front of a lenient parser may parse the same bytes differently (request smuggling).
"""

from __future__ import annotations

import re
from typing import Final

from ..access.refusals import Refusal
from ..limits import Limits

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE: Final = re.compile(_TOKEN + rb" [\x21-\x7e]+ HTTP/([0-9])\.([0-9])")
#: No space before the colon, no folded line, and no control character but the tab.
_FIELD_LINE: Final = re.compile(rb"(" + _TOKEN + rb"):[\t\x20-\x7e\x80-\xff]*")
#: Fields that are ambiguous when they are repeated.
_SINGLE: Final = frozenset(
    {
        b"host",
        b"origin",
        b"upgrade",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"content-length",
        b"transfer-encoding",
    }
)

MALFORMED: Final = Refusal(
    400,
    "malformed",
    "The request is not well-formed HTTP/1.1.",
    "Use a client that speaks RFC 9112.",
)
WRONG_HTTP: Final = Refusal(
    505,
    "http-version",
    "Only HTTP/1.1 is supported.",
    "Use HTTP/1.1, and turn off HTTP/2 in the client or the proxy.",
)
HEAD_TOO_LARGE: Final = Refusal(
    431,
    "head",
    "The request's head is too large.",
    "Send fewer or shorter header fields, or raise --max-header on the server.",
)


class HeadCheck:
    """Checks the lines of each head on a connection, in the order of their arrival."""

    def __init__(self, limits: Limits) -> None:
        self._max_size = limits.max_header
        self._max_lines = limits.max_header_lines
        self._reset()

    def _reset(self) -> None:
        """Prepare for the next head on the connection."""
        self._size = 0
        self._lines = 0
        self._is_http_1_1 = False
        self._seen: set[bytes] = set()

    @property
    def left(self) -> int:
        """How many more bytes the head may have."""
        return self._max_size - self._size

    def line(self, line: bytes) -> Refusal | None:
        """Check the next line, given without its CR LF; return a refusal if it is malformed."""
        self._size += len(line) + 2
        if self._size > self._max_size:
            return HEAD_TOO_LARGE
        if not line and not self._lines:
            return None  # An empty line before the request line is allowed (RFC 9112 §2.2).
        if not line:
            complete = not self._is_http_1_1 or b"host" in self._seen
            self._reset()
            return None if complete else MALFORMED
        self._lines += 1
        if self._lines > self._max_lines:
            return HEAD_TOO_LARGE
        return self._request_line(line) if self._lines == 1 else self._field_line(line)

    def part(self, part: bytes) -> Refusal | None:
        """Check the beginning of a line; return a refusal if it is malformed already."""
        if len(part) > self.left:
            return HEAD_TOO_LARGE
        bad = b"\n" in part or b"\0" in part or b"\r" in part[:-1]
        return MALFORMED if bad else None

    def _request_line(self, line: bytes) -> Refusal | None:
        match = _REQUEST_LINE.fullmatch(line)
        if match is None:
            return MALFORMED
        if match[1] != b"1" or match[2] not in (b"0", b"1"):
            return WRONG_HTTP
        self._is_http_1_1 = match[2] == b"1"
        return None

    def _field_line(self, line: bytes) -> Refusal | None:
        match = _FIELD_LINE.fullmatch(line)
        if match is None:
            return MALFORMED
        name = match[1].lower()
        if name in _SINGLE and name in self._seen:
            return MALFORMED
        self._seen.add(name)
        return None
