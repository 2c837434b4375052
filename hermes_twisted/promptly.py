"""Write to a socket now, not at the loop's next turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from twisted.internet.tcp import Connection

from .shared.packets import LARGE, batches


def write_promptly(transport: Any, data: bytes) -> None:
    """Like `write`, but what the socket takes at once has gone when this returns.

    Twisted asks the loop first whether a socket takes more, which costs a turn of the
    loop and two system calls. Here it is asked only for what the socket did not take.
    """
    if _is_idle(transport):
        sent = transport.writeSomeData(data)
        # Else an error, which the loop meets again, and handles.
        if isinstance(sent, int):
            data = data[sent:]
    if data:
        transport.write(data)


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


def _is_idle(transport: Any) -> bool:
    """Whether it is a plain socket, open, with nothing in Twisted's buffer."""
    return (
        isinstance(transport, Connection)
        and bool(transport.connected)
        and not transport.TLS
        and not transport.disconnecting
        # What Twisted has taken and not written: to ask the reactor costs more the more sockets
        # are full. A Twisted without these names gets the plain way.
        and not getattr(transport, "dataBuffer", True)
        and not getattr(transport, "_tempDataBuffer", True)
    )
