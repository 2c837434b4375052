"""The way out to a socket that may be full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from ..shared.packets import LARGE, batches
from ..tcp import write_promptly


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


class Outlet:
    """Writes to a transport: small things at once, large ones piece by piece as it empties.

    So a large frame is neither joined with others nor copied into Twisted's buffer. *takes*
    says whether the transport has room; `pour` is to be called when it has again.
    """

    def __init__(self, transport: Any, takes: Callable[[], bool]) -> None:
        self._transport = transport
        self._takes = takes
        self._rest: deque[memoryview] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether all that was given has been passed on."""
        return not self._rest

    def write(self, parts: list[bytes]) -> None:
        """Write *parts*, after whatever was written before."""
        if not self._rest and sum(map(len, parts)) <= LARGE:
            write_promptly(self._transport, b"".join(parts))
            return
        self._rest.extend(map(memoryview, batches(parts)))
        self.pour()

    def pour(self) -> None:
        """Pass on what the transport has room for."""
        while self._rest and self._takes():
            self._pass_on()

    def pour_all(self) -> None:
        """Pass on everything: something that must not come between is to follow."""
        while self._rest:
            self._pass_on()

    def clear(self) -> None:
        """Nobody will read it."""
        self._rest.clear()

    def _pass_on(self) -> None:
        piece = self._rest.popleft()
        if len(piece) > LARGE:
            self._rest.appendleft(piece[LARGE:])
        write_promptly(self._transport, bytes(piece[:LARGE]))
