"""Between a seat and a socket that may be full."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer


@implementer(IPushProducer)
class Valve:
    """Open while the socket takes more; without it Autobahn buffers without end."""

    def __init__(self, opened: Callable[[], None]) -> None:
        self.is_open = True
        self._opened = opened

    def pauseProducing(self) -> None:
        """The socket's buffer is full."""
        self.is_open = False

    def resumeProducing(self) -> None:
        """It is empty again."""
        self.is_open = True
        self._opened()

    def stopProducing(self) -> None:
        """The connection is gone; `onClose` follows."""
        self.is_open = False
