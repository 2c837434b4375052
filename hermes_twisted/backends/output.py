"""Turn what a worker prints into log events of a bounded size."""

from __future__ import annotations

import re
from typing import Final

from twisted.logger import Logger, LogLevel

_log = Logger(namespace="hermes_twisted.worker")

#: Longer lines are cut, in bytes, so that no program can fill the memory or the log.
MAX_LINE: Final = 4096

#: The names in the format of the worker's root logger (`hermes.main.EachLine`).
_LEVELS: Final = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARNING": LogLevel.warn,
    "ERROR": LogLevel.error,
    "CRITICAL": LogLevel.critical,
}
_PREFIX: Final = re.compile(rf"({'|'.join(_LEVELS)}) (?=[\w.]+: )")


class OutputLines:
    """Logs each line of one stream, at the level that the line names."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._partial = b""
        self._overlong = False

    def feed(self, data: bytes) -> None:
        """Log the lines that are complete with *data*."""
        first, *rest = data.split(b"\n")
        self._extend(first)
        for piece in rest:
            self._emit()
            self._extend(piece)

    def finish(self) -> None:
        """Log what is left of the last line: the stream has ended."""
        if self._partial:
            self._emit()

    def _extend(self, piece: bytes) -> None:
        room = MAX_LINE - len(self._partial)
        self._overlong |= len(piece) > room
        self._partial += piece[:room]

    def _emit(self) -> None:
        text = self._partial.decode("utf-8", "replace").rstrip()
        if self._overlong:
            text += " …"
        self._partial, self._overlong = b"", False
        if not text:
            return
        level = LogLevel.info
        if match := _PREFIX.match(text):
            level = _LEVELS[match[1]]
            text = text[match.end() :]
        _log.emit(level, "{text}", text=text, stream=self._stream)
