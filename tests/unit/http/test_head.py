from __future__ import annotations

import pytest

from hermes_twisted.access.refusals import Refusal
from hermes_twisted.http.head import HEAD_TOO_LARGE, MALFORMED, WRONG_HTTP, HeadCheck
from hermes_twisted.limits import Limits

LINE = b"GET / HTTP/1.1"
HOST = b"Host: a"


def check(*lines: bytes, **limits: int) -> Refusal | None:
    """The first problem with a head of these lines."""
    head = HeadCheck(Limits(**limits))  # type: ignore[arg-type]
    return next(filter(None, map(head.line, lines)), None)


@pytest.mark.parametrize(
    "lines",
    [
        (LINE, HOST, b""),
        (b"", LINE, HOST, b""),
        (b"GET / HTTP/1.0", b""),
        (b"get /a?b=c%00 HTTP/1.1", HOST, b""),
        (LINE, b"HOST:", b""),
        (LINE, HOST, b"A: 1", b"A: 2", b"B:\tx y\t", b"C: \xe9", b""),
        (LINE, HOST, b"", LINE, HOST, b""),
    ],
)
def test_good_heads(lines: tuple[bytes, ...]) -> None:
    """Heads as RFC 9112 has them pass, one after the other."""
    assert check(*lines) is None


@pytest.mark.parametrize(
    "line",
    [
        b"GET",
        b"GET /",
        b"GET  / HTTP/1.1",
        b"GET / HTTP/1.1 ",
        b" GET / HTTP/1.1",
        b"GET /\tHTTP/1.1",
        b"GET / a HTTP/1.1",
        b"GET /\x00 HTTP/1.1",
        b"GET /\r HTTP/1.1",
        b"GET /\n HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /\x7f HTTP/1.1",
        b"G@T / HTTP/1.1",
        b"GET / http/1.1",
        b"GET / HTTP/11",
        b"GET / HTTP/1.10",
        b"\x16\x03\x01\x02",
    ],
)
def test_bad_request_lines(line: bytes) -> None:
    """A request line is three words with one space between them."""
    assert check(line) is MALFORMED


@pytest.mark.parametrize("version", [b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/9.9"])
def test_other_versions(version: bytes) -> None:
    """Another version is none of ours."""
    assert check(b"GET / " + version) is WRONG_HTTP


@pytest.mark.parametrize(
    "line",
    [
        b"Host",
        b": a",
        b"A : b",
        b"A\t: b",
        b" folded",
        b"\tfolded",
        b"A B: c",
        b"A: b\rC: d",
        b"A: b\nC: d",
        b"A: \x00",
        b"A: \x0b",
        b"A: \x1c",
        b"A: \x7f",
        b"\xe9: a",
    ],
)
def test_bad_field_lines(line: bytes) -> None:
    """A field is a token, a colon, and text without control characters."""
    assert check(LINE, HOST, line) is MALFORMED


@pytest.mark.parametrize(
    "name",
    [
        b"Host",
        b"Origin",
        b"Upgrade",
        b"Sec-WebSocket-Key",
        b"Sec-WebSocket-Version",
        b"Content-Length",
        b"Transfer-Encoding",
    ],
)
def test_duplicates(name: bytes) -> None:
    """What means one thing only once is refused twice, however it is spelt."""
    assert check(LINE, name + b": 1", name.swapcase() + b": 1") is MALFORMED


def test_duplicates_are_of_one_head() -> None:
    """The next request on the connection may have the same fields."""
    assert check(*(LINE, HOST, b"Origin: a", b"") * 3) is None


def test_no_host() -> None:
    """HTTP/1.1 demands a Host (RFC 9112 §3.2)."""
    assert check(LINE, b"A: b", b"") is MALFORMED


def test_lines() -> None:
    """As many lines as allowed, and one more."""
    lines = [LINE, HOST, *[b"A: b"] * 62]

    assert check(*lines, b"") is None
    assert check(*lines, b"A: b") is HEAD_TOO_LARGE


def test_size() -> None:
    """As many bytes as allowed, with the line ends and the empty line, and one more."""
    size = sum(len(line) + 2 for line in (LINE, HOST, b"A: b", b""))

    assert check(LINE, HOST, b"A: b", b"", max_header=size) is None
    assert check(LINE, HOST, b"A: b", b"", max_header=size - 1) is HEAD_TOO_LARGE


def test_size_counts_from_each_beginning() -> None:
    """Each head has the whole limit."""
    assert check(*(LINE, HOST, b"") * 100, max_header=40) is None


@pytest.mark.parametrize("part", [b"GET / HTTP/1.1\nHost: a\n\n", b"\x16\x03\x00", b"a\rb"])
def test_bad_parts(part: bytes) -> None:
    """A line that is wrong already is not waited for."""
    assert HeadCheck(Limits()).part(part) is MALFORMED


@pytest.mark.parametrize("part", [b"", b"GET", b"GET / HTTP/1.1\r"])
def test_good_parts(part: bytes) -> None:
    """The beginning of a line is, so far, a line."""
    assert HeadCheck(Limits()).part(part) is None


def test_long_part() -> None:
    """A line that has no end counts as it comes."""
    head = HeadCheck(Limits(max_header=100))
    head.line(LINE)

    assert head.part(b"x" * 84) is None
    assert head.part(b"x" * 85) is HEAD_TOO_LARGE
