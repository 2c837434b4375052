"""The audit log: one line of JSON for each event, in files that only their owner reads."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger

from ..seats.journal import Value

_PRIVATE: Final = 0o600


def utc_now() -> datetime:
    """The time of an event."""
    return datetime.now(UTC)


class AuditLog:
    """Writes at once, in the order of the events. A full or broken disk stops nothing.

    Opened by the first event, not before: twistd forks in between.
    """

    _log = Logger()

    def __init__(
        self, path: Path, *, max_bytes: int, keep: int, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._path = path
        self._now = now
        self._file = _PrivateFile(path, max_bytes, keep, self._failed)
        self._failing = False
        self._lost = 0

    def record(self, event: str, **fields: Value) -> None:
        """See `Audit`."""
        known = {name: value for name, value in fields.items() if value is not None}
        time = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lost = self._lost
        self._file.write(json.dumps({"time": time, "event": event, **known}))
        if self._failing and self._lost == lost:
            self._failing, self._lost = False, 0
            self._log.warn(
                "the audit log {path} is written again; up to {lost} events are missing from it",
                path=str(self._path),
                lost=lost,
            )

    def close(self) -> None:
        """See `Audit`."""
        self._file.close()

    def _failed(self, error: Exception) -> None:
        self._lost += 1
        if not self._failing:
            self._failing = True
            self._log.error(
                "the audit log {path} cannot be written: {error}. The server goes on without it; "
                "free space or correct its permissions, or name another with --audit-file",
                path=str(self._path),
                error=getattr(error, "strerror", None) or str(error),
            )


class _PrivateFile(RotatingFileHandler):
    """A file that rotates by size; two servers, or another program that rotates, may share it."""

    def __init__(
        self, path: Path, max_bytes: int, keep: int, failed: Callable[[Exception], None]
    ) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._failed = failed

    def write(self, line: str) -> None:
        """Append one line; whatever goes wrong is told to *failed*."""
        try:
            size = self._size()
            if size and size + len(line) >= self.maxBytes > 0:
                self.doRollover()
            if self.stream is None:
                self.stream = self._open()
            self.stream.write(line + self.terminator)
            self.stream.flush()
        except Exception as error:
            self._failed(error)

    def close(self) -> None:
        """Close the file. What a broken disk did not take has been told already."""
        with contextlib.suppress(OSError):
            super().close()

    def _size(self) -> int:
        """Of the file; after another has rotated or removed it, the next line makes a new one."""
        if self.stream is not None:
            with contextlib.suppress(OSError):
                found = os.stat(self.baseFilename)
                if os.path.samestat(os.fstat(self.stream.fileno()), found):
                    return found.st_size
            self.close()
        with contextlib.suppress(OSError):
            return os.stat(self.baseFilename).st_size
        return 0

    def _open(self) -> Any:
        os.makedirs(os.path.dirname(self.baseFilename), mode=0o700, exist_ok=True)
        return open(self.baseFilename, "a", encoding=self.encoding, opener=_open_private)


def _open_private(path: str, flags: int) -> int:
    """Open without waiting for a pipe's reader; a file that others could read no more can."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY, _PRIVATE)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is not a regular file")
        if stat.S_IMODE(mode) != _PRIVATE:
            os.fchmod(descriptor, _PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
