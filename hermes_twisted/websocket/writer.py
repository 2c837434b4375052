"""Writes to a socket that may be full, without a copy of large frames."""

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
    """A push producer that knows whether the socket takes more.

    Without it nothing tells when to stop, and Autobahn buffers without end. *opened* is
    called when the socket takes more again.
    """

    def __init__(self, opened: Callable[[], None]) -> None:
        self.is_open = True
        self._opened = opened

    def pauseProducing(self) -> None:
        """Note that the socket's buffer is full."""
        self.is_open = False

    def resumeProducing(self) -> None:
        """Note that the buffer is empty, and call *opened*."""
        self.is_open = True
        self._opened()

    def stopProducing(self) -> None:
        """Note that the connection is gone; `onClose` follows."""
        self.is_open = False


class Outlet:
    """Writes small parts to a transport at once, large ones in pieces as it empties.

    So a large frame is neither joined with others nor copied into Twisted's buffer. *takes*
    returns whether the transport has room; call `pour` when it has room again.
    """

    def __init__(self, transport: Any, takes: Callable[[], bool]) -> None:
        self._transport = transport
        self._takes = takes
        self._rest: deque[memoryview] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether everything has been passed to the transport."""
        return not self._rest

    def write(self, parts: list[bytes]) -> None:
        """Write *parts*, after whatever was written before."""
        if not self._rest and sum(map(len, parts)) <= LARGE:
            write_promptly(self._transport, b"".join(parts))
            return
        self._rest.extend(map(memoryview, batches(parts)))
        self.pour()

    def pour(self) -> None:
        """Pass on as much as the transport has room for."""
        while self._rest and self._takes():
            self._pass_on()

    def pour_all(self) -> None:
        """Pass on everything, room or not, so that what is written next is not interleaved."""
        while self._rest:
            self._pass_on()

    def clear(self) -> None:
        """Discard the rest: the connection has ended."""
        self._rest.clear()

    def _pass_on(self) -> None:
        piece = self._rest.popleft()
        if len(piece) > LARGE:
            self._rest.appendleft(piece[LARGE:])
        write_promptly(self._transport, bytes(piece[:LARGE]))
