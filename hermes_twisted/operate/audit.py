"""The audit log: one line of JSON for each event, in private files that rotate."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path

from twisted.logger import Logger

from ..files import open_private
from ..seats.journal import Value


def utc_now() -> datetime:
    """Return the current time, in UTC."""
    return datetime.now(UTC)


class AuditLog:
    """Writes each event at once, in order. A full or broken disk is logged and stops nothing.

    The file is opened by the first event, not before: twistd forks in between.
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
        """Append a line with the fields that are not None."""
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
        """Close the file; a later event opens it again."""
        self._file.close()

    def _failed(self, error: Exception) -> None:
        self._lost += 1
        if not self._failing:
            self._failing = True
            self._log.error(
                "the audit log {path} cannot be written: {error}. The server continues without it; "
                "free space or correct its permissions, or name another file with --audit-file",
                path=str(self._path),
                error=getattr(error, "strerror", None) or str(error),
            )


class _PrivateFile(RotatingFileHandler):
    """A private file that rotates by size, also when another process rotates or removes it."""

    def __init__(
        self, path: Path, max_bytes: int, keep: int, failed: Callable[[Exception], None]
    ) -> None:
        super().__init__(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", delay=True)
        self._failed = failed

    def write(self, line: str) -> None:
        """Append one line; pass any error to *failed*."""
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
        """Close the file. Errors of a broken disk were reported when it was written."""
        with contextlib.suppress(OSError):
            super().close()

    def _size(self) -> int:
        """Return the size of the file by that name in bytes; close ours if that is another one."""
        if self.stream is not None:
            with contextlib.suppress(OSError):
                found = os.stat(self.baseFilename)
                if os.path.samestat(os.fstat(self.stream.fileno()), found):
                    return found.st_size
            self.close()
        with contextlib.suppress(OSError):
            return os.stat(self.baseFilename).st_size
        return 0

    def _open(self) -> TextIOWrapper:
        os.makedirs(os.path.dirname(self.baseFilename), mode=0o700, exist_ok=True)
        return open(self.baseFilename, "a", encoding=self.encoding, opener=open_private)
