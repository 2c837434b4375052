from __future__ import annotations

import logging
import sys

from twisted.logger import LogLevel, capturedLogs

from hermes_twisted.backends.output import OutputLines
from hermes_twisted.hermes.main import EachLine


def test_a_traceback_keeps_its_level() -> None:
    """Each of its lines, or `--log-level error` would show the first alone."""
    try:
        raise ValueError("bad")
    except ValueError:
        record = logging.LogRecord(
            "a.b", logging.ERROR, __file__, 1, "it broke\nin two", None, sys.exc_info()
        )
    lines = OutputLines("stderr")

    with capturedLogs() as events:
        lines.feed(EachLine().format(record).encode() + b"\n")

    assert {event["log_level"] for event in events} == {LogLevel.error}
    assert [event["text"] for event in events][:3] == [
        "a.b: it broke",
        "a.b: in two",
        "a.b: Traceback (most recent call last):",
    ]
    assert events[-1]["text"] == "a.b: ValueError: bad"
