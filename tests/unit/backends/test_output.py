from __future__ import annotations

import pytest
from twisted.logger import LogLevel, capturedLogs

from hermes_twisted.backends.output import MAX_LINE, OutputLines


def logged(*chunks: bytes, finish: bool = False) -> list[tuple[LogLevel, str]]:
    """Levels and texts of the events that these bytes make."""
    lines = OutputLines("stderr")
    with capturedLogs() as events:
        for chunk in chunks:
            lines.feed(chunk)
        if finish:
            lines.finish()
    return [(event["log_level"], event["text"]) for event in events]


def texts(*chunks: bytes, finish: bool = False) -> list[str]:
    return [text for _level, text in logged(*chunks, finish=finish)]


def test_one_event_a_line() -> None:
    """Each complete line is one event; an incomplete one waits."""
    assert texts(b"one\ntwo\nthr") == ["one", "two"]


def test_lines_in_pieces() -> None:
    """However the stream is cut, the lines are the same."""
    assert texts(b"o", b"ne", b"\n", b"two\nth", b"ree\n") == ["one", "two", "three"]


def test_blank_lines() -> None:
    """Blank lines say nothing."""
    assert texts(b"\n \t\n\r\nx\r\n\n") == ["x"]


def test_the_last_line() -> None:
    """What is left when the stream ends is logged, once."""
    assert texts(b"one\ntwo", finish=True) == ["one", "two"]
    assert texts(b"one\n", finish=True) == ["one"]


@pytest.mark.parametrize(
    ("line", "level", "text"),
    [
        (b"WARNING root: beware", LogLevel.warn, "root: beware"),
        (b"ERROR tui_gateway.server: it broke", LogLevel.error, "tui_gateway.server: it broke"),
        (b"CRITICAL a.b: the end", LogLevel.critical, "a.b: the end"),
        (b"INFO a: b", LogLevel.info, "a: b"),
        (b"DEBUG a: b", LogLevel.debug, "a: b"),
        (b"ERROR in general", LogLevel.info, "ERROR in general"),
        (b"ERROR: x", LogLevel.info, "ERROR: x"),
        (b"error a: b", LogLevel.info, "error a: b"),
        (b" ERROR a: b", LogLevel.info, " ERROR a: b"),
        (b"ERRORS a: b", LogLevel.info, "ERRORS a: b"),
        (b"plain words", LogLevel.info, "plain words"),
    ],
)
def test_levels(line: bytes, level: LogLevel, text: str) -> None:
    """A line of the worker's log keeps its level; any other line is information."""
    assert logged(line + b"\n") == [(level, text)]


@pytest.mark.parametrize("pieces", [1, 7])
def test_long_lines_are_cut(pieces: int) -> None:
    """A line above the limit is cut, says so, and the next one is whole."""
    line = b"x" * (MAX_LINE * 3)
    size = len(line) // pieces + 1
    chunks = [line[start : start + size] for start in range(0, len(line), size)]

    assert texts(*chunks, b"\nnext\n") == ["x" * MAX_LINE + " …", "next"]


def test_longest_line() -> None:
    """A line of just the limit is whole."""
    assert texts(b"x" * MAX_LINE + b"\n") == ["x" * MAX_LINE]


def test_long_last_line() -> None:
    """A long line that never ends is cut as well."""
    assert texts(b"x" * (MAX_LINE + 1), finish=True) == ["x" * MAX_LINE + " …"]


def test_memory_is_bounded() -> None:
    """A stream without line ends is not kept."""
    lines = OutputLines("stdout")
    for _ in range(100):
        lines.feed(b"x" * MAX_LINE)

    assert sum(len(part) for part in vars(lines).values() if isinstance(part, bytes)) <= MAX_LINE


def test_not_utf8() -> None:
    """Bytes that are no UTF-8 are replaced, not raised."""
    assert texts(b"a\xff\xc3\nb\n") == ["a\ufffd\ufffd", "b"]


def test_braces_are_text() -> None:
    """What a program prints is never taken for a format."""
    with capturedLogs() as events:
        OutputLines("stderr").feed(b"{secret} {0!r} {\n")

    [event] = events
    assert (event["log_format"], event["text"]) == ("{text}", "{secret} {0!r} {")
    assert event["stream"] == "stderr"
    assert event["log_namespace"] == "hermes_twisted.worker"
