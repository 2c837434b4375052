"""The server's log: text or JSON lines, from a level upwards.

twistd opens the log, daemonises and rotates; this gives it our observer. `redaction` has removed
secrets from every event before our observer gets it.
"""

from __future__ import annotations

import functools
import json
import math
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from twisted.logger import (
    FileLogObserver,
    ILogObserver,
    LegacyLogObserverWrapper,
    LogEvent,
    LogLevel,
    formatEvent,
    formatTime,
)
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile
from zope.interface import implementer

#: The namespace of events that the worker and Hermes log; text lines mark them with `hermes:`.
WORKER: Final = "hermes_twisted.worker"
OURS: Final = "hermes_twisted"

_ORDER: Final = {level: place for place, level in enumerate(LogLevel.iterconstants())}
#: Entries of an event that are Twisted's own, or repeat the message for its legacy log.
_NOT_FIELDS: Final = frozenset(
    ("time", "system", "message", "format", "isError", "failure", "why", "printed", "logLevel")
)
#: Control characters, which a terminal would obey: a client must not move its cursor.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Format = Callable[[LogEvent], str | None]


def format_text(event: LogEvent) -> str | None:
    """Format time, level and message, further lines indented; None for an empty event."""
    message, traceback = _texts(event)
    if not message and not traceback:
        return None
    namespace = str(event.get("log_namespace") or "")
    library = namespace.partition(".")[0]
    if namespace == WORKER:
        message = f"hermes: {message}"
    elif library not in (OURS, "", "-", "log_legacy"):
        message = f"{library}: {message}"
    lines = "\n".join(filter(None, (message, traceback))).rstrip("\n")
    shown = _CONTROL.sub(_visible, lines).replace("\n", "\n    ")
    time = event.get("log_time")
    when = formatTime(None) if time is None else _second(int(time))
    return _writable(f"{when} {_level(event).name:<5} {shown}\n")


def format_json(event: LogEvent) -> str | None:
    """Format one JSON object: time (UTC), level, namespace, message, fields, traceback.

    None for an empty event.
    """
    message, traceback = _texts(event)
    if not message and not traceback:
        return None
    when = datetime.fromtimestamp(event.get("log_time") or 0.0, UTC)
    line: dict[str, Any] = {
        "time": when.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": _level(event).name,
        "namespace": str(event.get("log_namespace") or ""),
        "message": message,
    }
    fields = {
        name: event[name]
        for name in event
        if not name.startswith("log_") and name not in _NOT_FIELDS and _is_plain(event[name])
    }
    if fields:
        line["fields"] = fields
    if traceback:
        line["traceback"] = traceback
    # In ASCII nothing can break a line or move a cursor.
    return json.dumps(line) + "\n"


@functools.lru_cache(maxsize=4)
def _second(time: int) -> str:
    """Format local time. Cached: finding the zone costs more than the rest of a line."""
    return formatTime(time)


def _texts(event: LogEvent) -> tuple[str, str]:
    failure = event.get("log_failure")
    traceback = failure.getTraceback() if isinstance(failure, Failure) else ""
    text = event.get("log_text")  # The redacted text.
    message = text if isinstance(text, str) else formatEvent(event)
    return message.rstrip("\n"), traceback


def _level(event: LogEvent) -> Any:
    return event.get("log_level") or LogLevel.info


def _is_plain(value: Any, depth: int = 4) -> bool:
    """Return whether JSON has a form for *value*. Other objects are shown in the message only."""
    if isinstance(value, dict):
        return depth > 0 and all(
            isinstance(name, str) and _is_plain(item, depth - 1) for name, item in value.items()
        )
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)


def _visible(match: re.Match[str]) -> str:
    return f"\\x{ord(match[0]):02x}"


def _writable(text: str) -> str:
    """Escape lone surrogates, which cannot be written to a file."""
    return text.encode("utf-8", "backslashreplace").decode()


@implementer(ILogObserver)
@dataclass(frozen=True)
class FromLevel:
    """Passes on events from a level upwards; those without a level count as `info`."""

    observer: Callable[[LogEvent], None]
    level: str

    def __call__(self, event: LogEvent) -> None:
        """Pass the event on if its level is high enough."""
        if _ORDER[_level(event)] >= _ORDER[LogLevel.levelWithName(self.level)]:
            self.observer(event)


@dataclass(frozen=True)
class LogPlan:
    """Configuration of the log."""

    format: str = "text"
    level: str = "info"
    file: str | None = None
    """The file's name; None for standard output."""
    syslog: str | None = None
    """The prefix of our lines in syslog, which may be empty; None for no syslog."""

    def open(self) -> FromLevel:
        """Open the log and return its observer. Raises `OSError`."""
        if self.syslog is not None:
            from twisted.python.syslog import SyslogObserver  # Not every platform has syslog.

            emit: Any = SyslogObserver(self.syslog).emit
            return FromLevel(LegacyLogObserverWrapper(emit), self.level)
        return self.to(sys.stdout if self.file is None else _open(self.file))

    def to(self, file: Any) -> FromLevel:
        """Return an observer that writes to an open file."""
        if hasattr(file, "reconfigure"):
            # Characters that the locale does not have are escaped, not lost with their line.
            file.reconfigure(errors="backslashreplace")
        formatter: Format = format_json if self.format == "json" else format_text
        return FromLevel(FileLogObserver(file, formatter), self.level)


def _open(name: str) -> LogFile:
    """Open a file as twistd does: rotated at a megabyte, and at SIGUSR1."""
    file: LogFile = LogFile.fromFullPath(name)
    if not signal.getsignal(signal.SIGUSR1):

        def rotate(number: int, frame: object) -> None:
            from twisted.internet import reactor  # Not before a reactor has been chosen.

            reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]

        signal.signal(signal.SIGUSR1, rotate)
    return file


#: The value of twistd's option --logger: the name of a function without arguments.
FACTORY: Final = f"{__name__}.observer"
_plan = LogPlan()


def adopt(plan: LogPlan) -> None:
    """Set the configuration that `observer` opens."""
    global _plan
    _plan = plan


def observer() -> FromLevel:
    """Open the configured log. twistd calls this, see `FACTORY`."""
    return _plan.open()
