"""The local UI's end of a stdio pipe, with the face of a client."""

from __future__ import annotations

import asyncio
import os

from .talk import Talk

CHUNK = 1 << 20


class Line:
    """A message that came."""

    __slots__ = ("_text",)

    def __init__(self, text: bytes) -> None:
        self._text = text

    def get_payload_as_bytes(self) -> bytes:
        """Its text."""
        return self._text


class PipeClient(Talk):
    """JSON lines from and to a process. There is one; `close` leaves it for the next."""

    def __init__(self, reading: int, writing: int) -> None:
        super().__init__()
        self._reading, self._writing = reading, writing
        self._parts: list[bytes] = []
        """The beginning of a line whose end has not come."""
        os.set_blocking(reading, False)
        asyncio.get_running_loop().add_reader(reading, self._read)

    def _read(self) -> None:
        try:
            data = os.read(self._reading, CHUNK)
        except BlockingIOError:
            return
        if not data:
            asyncio.get_running_loop().remove_reader(self._reading)
            self.lost()
            return
        first, *lines = data.split(b"\n")
        self._parts.append(first)
        for line in lines:
            self.hear(Line(b"".join(self._parts)))
            self._parts = [line]

    def send(self, text: bytes) -> None:
        """Send one line."""
        self.write(text + b"\n")

    def framed(self, text: bytes) -> bytes:
        """A line."""
        return text + b"\n"

    def write(self, frames: bytes) -> None:
        """At most as much as fits into a pipe, 64 KiB, is on its way at any time."""
        os.write(self._writing, frames)

    async def close(self) -> None:
        """Leave the pipe to the next who measures."""
        self.forget()
        asyncio.get_running_loop().remove_reader(self._reading)
