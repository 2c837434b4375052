"""What a worker prints, as log events of a bounded size."""

from __future__ import annotations

import re
from typing import Final

from twisted.logger import Logger, LogLevel

_log = Logger(namespace="hermes_twisted.worker")

#: Longer lines are cut: nothing that a program prints may grow our memory or log.
MAX_LINE: Final = 4096

#: The format that the worker gives its root logger.
_LEVELS: Final = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARNING": LogLevel.warn,
    "ERROR": LogLevel.error,
    "CRITICAL": LogLevel.critical,
}
_PREFIX: Final = re.compile(rf"({'|'.join(_LEVELS)}) (?=[\w.]+: )")


class OutputLines:
    """Bytes of one stream in, one log event a line out, with the level it names."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._partial = b""
        self._overlong = False

    def feed(self, data: bytes) -> None:
        """Log the lines that *data* completes."""
        first, *rest = data.split(b"\n")
        self._extend(first)
        for piece in rest:
            self._emit()
            self._extend(piece)

    def finish(self) -> None:
        """Log what is left: the stream has ended."""
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
