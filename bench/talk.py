"""What a measuring client does, whatever carries its messages.

What a message does is decided in its callback: a future per answer would add as much
time as some of the servers need.
"""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from typing import Any, Final, Protocol

#: Seconds after which a measurement is given up.
PATIENCE: Final = 30.0

_ids = itertools.count(1)


class Message(Protocol):
    """One that came; a frame of picows is one."""

    def get_payload_as_bytes(self) -> bytes:
        """Its text."""


#: Called with each message.
Hear = Callable[[Message], None]


def request(method: str, params: dict[str, Any], identity: int | None = None) -> bytes:
    """One request's text; without *identity* it gets an id of its own."""
    number = next(_ids) if identity is None else identity
    call = {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
    return json.dumps(call, separators=(",", ":")).encode()


class Talk:
    """One attached terminal; a subclass sends, and calls `hear` with what comes."""

    def __init__(self) -> None:
        self._done: asyncio.Future[None] | None = None
        self.hear: Hear = _ignore

    def send(self, text: bytes) -> None:
        """Send one message."""
        raise NotImplementedError

    def framed(self, text: bytes) -> bytes:
        """*text*, below 64 KiB, as `write` takes it."""
        raise NotImplementedError

    def write(self, frames: bytes) -> None:
        """Send many messages at once, put together from what `framed` has made."""
        raise NotImplementedError

    async def ping(self) -> None:
        """A ping and its pong."""
        raise NotImplementedError

    def stop_reading(self) -> None:
        """Be a client that hangs."""
        raise NotImplementedError

    async def close(self) -> None:
        """Go."""
        raise NotImplementedError

    def lost(self) -> None:
        """The connection is gone: whoever waits for it need not."""
        if self._done is not None and not self._done.done():
            self._done.set_exception(ConnectionError("the server closed the connection"))

    def listen(self, hear: Hear) -> None:
        """From now on *hear* gets the messages, until it calls `finish`."""
        self._done = asyncio.get_running_loop().create_future()
        self.hear = hear

    def finish(self) -> None:
        """The measurement is over."""
        assert self._done is not None
        self.hear = _ignore
        if not self._done.done():
            self._done.set_result(None)

    async def finished(self, patience: float = PATIENCE) -> None:
        """Wait for `finish`."""
        assert self._done is not None
        async with asyncio.timeout(patience):
            await self._done

    def forget(self) -> None:
        """Nobody waits any more."""
        self._done = None
        self.hear = _ignore

    def expect(self, count: int) -> None:
        """`finished` once so many messages have come."""
        left = count

        def one(_message: Message) -> None:
            nonlocal left
            left -= 1
            if not left:
                self.finish()

        self.listen(one)

    async def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """One request; returns its result. Raises `ValueError` for an error."""
        identity = next(_ids)
        found: dict[str, Any] = {}

        def look(message: Message) -> None:
            answer = json.loads(message.get_payload_as_bytes())
            if answer.get("id") == identity:
                found.update(answer)
                self.finish()

        self.listen(look)
        self.send(request(method, params, identity))
        await self.finished()
        if "error" in found:
            raise ValueError(f"{method}: {found['error']}")
        result: dict[str, Any] = found["result"]
        return result


def _ignore(_message: Message) -> None:
    pass
