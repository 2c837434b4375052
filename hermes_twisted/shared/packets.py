"""Framing between the front and the worker: length-prefixed packets over a stream.

A packet is a 13-byte header, `kind, seat, tag, length` in network byte order, and
`length` bytes of body. `docs/protocol.md` says what each kind means. Both ends are
ours and of one version, so an unknown kind or an impossible length is a bug and
ends the stream. Small packets are joined into few writes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple, cast

#: Seconds without a write after which a single one is made at once: it is there a turn of a
#: loop or a thread's switch sooner. In a burst, chunks are gathered for larger writes.
CALM: Final = 0.0002
#: Larger chunks are written by themselves: to join them with others would copy them.
LARGE: Final = 64 * 1024


def batches(chunks: Iterable[bytes]) -> list[bytes]:
    """*chunks* joined, but for large ones, and in order."""
    found: list[bytes] = []
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) > LARGE:
            if small:
                found.append(b"".join(small))
                small = []
            found.append(chunk)
        else:
            small.append(chunk)
    if small:
        found.append(b"".join(small))
    return found


HEADER: Final = struct.Struct("!BIII")

#: No packet is larger: Hermes' largest answers are tens of megabytes.
MAX_BODY: Final = 512 * 1024 * 1024


class Op(IntEnum):
    """What a packet says. Values below 32 go to the worker, the others come from it."""

    HELLO = 1
    """Settings for the worker, JSON."""
    OPEN = 2
    """A seat begins; the sessions that it had in an earlier worker, JSON."""
    REQUEST = 3
    """A frame from the client; *tag* names it in the answer."""
    URGENT = 4
    """The same, for the seat's urgent lane."""
    CREDIT = 5
    """*tag* bytes of the seat's frames have gone to its client."""
    CLOSE = 6
    """A seat ends."""
    DRAIN = 7
    """Finish what runs, for at most *tag* milliseconds, and say DRAINED."""

    READY = 32
    """Hermes is loaded; what was found, JSON."""
    FAILED = 33
    """Hermes cannot be served; why and what to do, JSON. The worker ends."""
    EVENT = 34
    """A frame for the client."""
    ANSWER = 35
    """A frame that answers the request *tag*."""
    SETTLED = 36
    """*tag* waiting requests have been run; the body is their size, 8 bytes."""
    OVERFLOW = 37
    """The seat's client reads too slowly: its hard limit was hit."""
    NOTE = 39
    """What the front has to know of the seat's sessions, JSON: see `seats.ledger`."""
    SHED = 40
    """*tag* more deltas were left out, because the seat's client reads slowly."""
    DRAINED = 38
    """Nothing runs any more, or the time is up (*tag* 1)."""


class Packet(NamedTuple):
    """One packet, taken apart."""

    op: int
    seat: int
    tag: int
    body: bytes


_new: Final = tuple.__new__


class BadPacket(Exception):
    """The stream does not hold packets."""


SIZE: Final = struct.Struct("!Q")


def pack(op: int, seat: int = 0, tag: int = 0, body: bytes = b"") -> bytes:
    """The bytes of one packet."""
    return HEADER.pack(op, seat, tag, len(body)) + body


class Unpacker:
    """Bytes in, packets out. Large bodies are gathered in place, and copied no more after that."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun: _Begun | None = None

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that *data* completes. Raises `BadPacket`."""
        if self._begun is not None:
            data = self._begun.fill(data)
            if not self._begun.is_full:
                return
            yield self._begun.packet()
            self._begun = None
        buffer = self._rest + data if self._rest else data
        start, end = 0, len(buffer)
        while end - start >= HEADER.size:
            op, seat, tag, length = HEADER.unpack_from(buffer, start)
            if length > MAX_BODY:
                raise BadPacket(f"a body of {length} bytes")
            body = start + HEADER.size
            if end - body < length:
                if length > LARGE:
                    self._begun = _Begun(op, seat, tag, length)
                    self._begun.fill(buffer[body:])
                    start = end
                break
            start = body + length
            # Past the class's own constructor, which costs more than all the rest.
            yield _new(Packet, (op, seat, tag, buffer[body:start]))
        self._rest = buffer[start:]


class _Begun:
    """A large packet that is not all there."""

    def __init__(self, op: int, seat: int, tag: int, length: int) -> None:
        self._head = op, seat, tag
        self._body = bytearray(length)
        self._room = memoryview(self._body)

    @property
    def is_full(self) -> bool:
        return not self._room

    def fill(self, data: bytes) -> bytes:
        """Take what belongs to it; returns what does not."""
        count = min(len(data), len(self._room))
        self._room[:count] = data[:count]
        self._room = self._room[count:]
        return data[count:]

    def packet(self) -> Packet:
        """The whole. Its body is only read from here on, so it passes for bytes uncopied."""
        self._room.release()
        return Packet(*self._head, cast("bytes", self._body))
