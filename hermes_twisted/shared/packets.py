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
    """Join *chunks*, in order, into few pieces; large ones stay by themselves, uncopied."""
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
    """Kind of a packet. Values below 32 go to the worker, the others come from it."""

    HELLO = 1
    """The first packet: the worker's settings, `schema.WorkerSettings`."""
    OPEN = 2
    """A new seat, with the sessions to restore for it: `schema.SavedSessions`."""
    REQUEST = 3
    """A frame from the client; *tag* names it in the answer."""
    URGENT = 4
    """A frame from the client for the seat's urgent lane; *tag* names it in the answer."""
    CREDIT = 5
    """*tag* bytes of the seat's frames were passed on to its client."""
    CLOSE = 6
    """The seat has ended."""
    DRAIN = 7
    """Wait until nothing runs, for at most *tag* milliseconds; DRAINED follows."""

    READY = 32
    """Hermes is loaded: `schema.Findings`."""
    FAILED = 33
    """Hermes cannot be served: a `Problem`. The worker exits."""
    EVENT = 34
    """A frame for the client that answers no request."""
    ANSWER = 35
    """A frame for the client that answers the request *tag*."""
    SETTLED = 36
    """*tag* requests no longer wait; the body is their size together, 8 bytes."""
    OVERFLOW = 37
    """The seat's outbox exceeded its hard limit."""
    DRAINED = 38
    """The answer to DRAIN: nothing runs any more, or, with *tag* 1, the time is up."""
    NOTE = 39
    """The seat's sessions have changed, or were restored: `schema.SessionNote`."""
    SHED = 40
    """*tag* more deltas were shed for the seat."""


class Packet(NamedTuple):
    """One packet: its kind, its seat, and what they mean by *tag* and *body*."""

    op: int
    seat: int
    tag: int
    body: bytes


_new: Final = tuple.__new__


class BadPacket(Exception):
    """The stream holds something that is no packet of this version."""


SIZE: Final = struct.Struct("!Q")


def pack(op: int, seat: int = 0, tag: int = 0, body: bytes = b"") -> bytes:
    """Return one packet as bytes."""
    return HEADER.pack(op, seat, tag, len(body)) + body


class Unpacker:
    """Splits a stream into packets. A large body is gathered in one buffer and copied once."""

    def __init__(self) -> None:
        self._rest = b""
        self._begun: _Begun | None = None

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete with *data*. Raises `BadPacket`."""
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
    """A large packet of which only a part has arrived."""

    def __init__(self, op: int, seat: int, tag: int, length: int) -> None:
        self._head = op, seat, tag
        self._body = bytearray(length)
        self._room = memoryview(self._body)

    @property
    def is_full(self) -> bool:
        """Whether the whole packet has arrived."""
        return not self._room

    def fill(self, data: bytes) -> bytes:
        """Copy what is still missing from *data*; return the rest of *data*."""
        count = min(len(data), len(self._room))
        self._room[:count] = data[:count]
        self._room = self._room[count:]
        return data[count:]

    def packet(self) -> Packet:
        """Return the complete packet. Its body is a bytearray that nobody writes to any more."""
        self._room.release()
        return Packet(*self._head, cast("bytes", self._body))
