"""The server's log: a line for people or a line of JSON for each event, from a level upwards.

twistd opens the log, daemonises and rotates; it is told here to write it in our form. The
observers come after `redaction`'s, which has taken secrets out of every event by then.
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

#: What the worker and Hermes say, by its namespace, is marked as theirs.
WORKER: Final = "hermes_twisted.worker"
OURS: Final = "hermes_twisted"

_ORDER: Final = {level: place for place, level in enumerate(LogLevel.iterconstants())}
#: Twisted's own entries of an event, and those of its older log, which repeat the message.
_NOT_FIELDS: Final = frozenset(
    ("time", "system", "message", "format", "isError", "failure", "why", "printed", "logLevel")
)
#: A terminal obeys these: whoever gets one into the log must not move its cursor.
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")

Format = Callable[[LogEvent], str | None]


def format_text(event: LogEvent) -> str | None:
    """Time, level, message; what follows in further lines is indented. None: nothing to say."""
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
    """One object: time (UTC), level, namespace, message; fields and traceback if there are any."""
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
    # ASCII: any reader takes it, and nothing in it can break a line or move a cursor.
    return json.dumps(line) + "\n"


@functools.lru_cache(maxsize=4)
def _second(time: int) -> str:
    """Local time; finding out the zone costs more than the rest of a line."""
    return formatTime(time)


def _texts(event: LogEvent) -> tuple[str, str]:
    failure = event.get("log_failure")
    traceback = failure.getTraceback() if isinstance(failure, Failure) else ""
    text = event.get("log_text")  # What `redaction` has made of it.
    message = text if isinstance(text, str) else formatEvent(event)
    return message.rstrip("\n"), traceback


def _level(event: LogEvent) -> Any:
    return event.get("log_level") or LogLevel.info


def _is_plain(value: Any, depth: int = 4) -> bool:
    """Whether JSON can hold it as it is. Other objects are in the message, if anywhere."""
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
    """Without lone surrogates, which no file takes."""
    return text.encode("utf-8", "backslashreplace").decode()


@implementer(ILogObserver)
@dataclass(frozen=True)
class FromLevel:
    """Passes on the events from a level upwards; those without one count as `info`."""

    observer: Callable[[LogEvent], None]
    level: str

    def __call__(self, event: LogEvent) -> None:
        """See `ILogObserver`."""
        if _ORDER[_level(event)] >= _ORDER[LogLevel.levelWithName(self.level)]:
            self.observer(event)


@dataclass(frozen=True)
class LogPlan:
    """What is logged, how, and where to."""

    format: str = "text"
    level: str = "info"
    file: str | None = None
    """A file's name; None for standard output."""
    syslog: str | None = None
    """The prefix of our lines there, which may be empty; None for no syslog."""

    def open(self) -> FromLevel:
        """Open it. Raises `OSError`."""
        if self.syslog is not None:
            from twisted.python.syslog import SyslogObserver  # Not every platform has it.

            emit: Any = SyslogObserver(self.syslog).emit
            return FromLevel(LegacyLogObserverWrapper(emit), self.level)
        return self.to(sys.stdout if self.file is None else _open(self.file))

    def to(self, file: Any) -> FromLevel:
        """The same, to a file that is open."""
        if hasattr(file, "reconfigure"):
            # A locale without our characters must not cost the line.
            file.reconfigure(errors="backslashreplace")
        formatter: Format = format_json if self.format == "json" else format_text
        return FromLevel(FileLogObserver(file, formatter), self.level)


def _open(name: str) -> LogFile:
    """As twistd does it: a megabyte a file, and a new one at SIGUSR1."""
    file: LogFile = LogFile.fromFullPath(name)
    if not signal.getsignal(signal.SIGUSR1):

        def rotate(number: int, frame: object) -> None:
            from twisted.internet import reactor  # Not before it has been chosen.

            reactor.callFromThread(file.rotate)  # type: ignore[attr-defined]

        signal.signal(signal.SIGUSR1, rotate)
    return file


#: What twistd calls is a name without arguments: see its option --logger.
FACTORY: Final = f"{__name__}.observer"
_plan = LogPlan()


def adopt(plan: LogPlan) -> None:
    """This is what `observer` opens."""
    global _plan
    _plan = plan


def observer() -> FromLevel:
    """The log that was decided on, opened. For `twistd --logger`."""
    return _plan.open()
