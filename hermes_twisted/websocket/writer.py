"""Flow-controlled writes to a socket, without copies of large messages."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from ..shared.packets import LARGE, batches
from ..tcp import write_promptly


@implementer(IPushProducer)
class FlowControl:
    """A push producer that records whether the transport's buffer is full.

    Without a registered producer the transport never reports that, and buffers without a limit.
    *on_writable* is called when the buffer has room again.
    """

    def __init__(self, on_writable: Callable[[], None]) -> None:
        self.is_writable = True
        self._on_writable = on_writable

    def pauseProducing(self) -> None:
        """Record that the buffer is full."""
        self.is_writable = False

    def resumeProducing(self) -> None:
        """Record that the buffer has room, and call *on_writable*."""
        self.is_writable = True
        self._on_writable()

    def stopProducing(self) -> None:
        """Record that the connection has ended; Autobahn calls `onClose` next."""
        self.is_writable = False


class SocketWriter:
    """Writes small parts to a transport at once, and large ones in pieces while it has room.

    So a large message is neither joined with others nor copied into Twisted's buffer. Call `flush`
    when *flow* is writable again.
    """

    def __init__(self, transport: Any, flow: FlowControl) -> None:
        self._transport = transport
        self._flow = flow
        self._rest: deque[memoryview] = deque()

    @property
    def is_empty(self) -> bool:
        """Whether everything has been passed to the transport."""
        return not self._rest

    def write(self, parts: list[bytes]) -> None:
        """Write *parts* after all earlier ones."""
        if not self._rest and sum(map(len, parts)) <= LARGE:
            write_promptly(self._transport, b"".join(parts))
            return
        self._rest.extend(map(memoryview, batches(parts)))
        self.flush()

    def flush(self) -> None:
        """Pass on as much as the transport has room for."""
        while self._rest and self._flow.is_writable:
            self._write_piece()

    def flush_all(self) -> None:
        """Pass on everything, even if the buffer is full, before somebody else writes."""
        while self._rest:
            self._write_piece()

    def clear(self) -> None:
        """Discard everything that waits."""
        self._rest.clear()

    def _write_piece(self) -> None:
        """Pass on the first `LARGE` bytes, or less, of the first part."""
        piece = self._rest.popleft()
        if len(piece) > LARGE:
            self._rest.appendleft(piece[LARGE:])
        write_promptly(self._transport, bytes(piece[:LARGE]))
