"""Framing between the front and the worker: length-prefixed packets over a stream.

A packet is a 13-byte header, `kind, seat, tag, length` in network byte order, and `length` bytes of
body. `docs/protocol.md` defines each kind. Both ends have the same version, so an unknown kind or
an impossible length is a bug, and ends the stream.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final, NamedTuple, cast

#: Seconds without a write after which the next chunk is written at once, which saves a turn of the
#: loop or a switch of threads. In a burst, chunks are joined into larger writes.
QUIET_PERIOD: Final = 0.0002
#: Chunks with more bytes are written separately: joining them with others would copy them.
LARGE: Final = 64 * 1024


def batches(chunks: Iterable[bytes]) -> list[bytes]:
    """Join *chunks*, in order, into fewer pieces; large ones stay separate, and are not copied."""
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

#: The most bytes of a body. Hermes' largest answers have tens of megabytes.
MAX_BODY: Final = 512 * 1024 * 1024


class Op(IntEnum):
    """The kind of a packet. Values below 32 are sent to the worker, the others by it."""

    HELLO = 1
    """The first packet: the worker's settings, `schema.WorkerSettings`."""
    OPEN = 2
    """A new seat, with the sessions to restore for it: `schema.SavedSessions`."""
    REQUEST = 3
    """A frame from the client; *tag* names it in the answer."""
    URGENT = 4
    """A frame from the client for the seat's urgent lane; *tag* names it in the answer."""
    CREDIT = 5
    """*tag* bytes of the seat's frames were written to its client's socket."""
    CLOSE = 6
    """The seat has ended."""
    DRAIN = 7
    """Wait until no request or turn runs, for at most *tag* milliseconds; DRAINED follows."""

    READY = 32
    """Hermes is loaded: `schema.Findings`."""
    FAILED = 33
    """Hermes cannot be served: a `Problem`. The worker exits."""
    EVENT = 34
    """A frame for the client that answers no request."""
    ANSWER = 35
    """A frame for the client that answers the request *tag*."""
    SETTLED = 36
    """*tag* requests were settled; the body is the sum of their bytes, as a 64-bit integer."""
    OVERFLOW = 37
    """The seat's outbox exceeded its hard limit."""
    DRAINED = 38
    """The answer to DRAIN: nothing runs any more or, with *tag* 1, the time has elapsed."""
    NOTE = 39
    """The seat's sessions have changed, or were restored: `schema.SessionNote`."""
    SHED = 40
    """*tag* more deltas were shed for the seat."""


class Packet(NamedTuple):
    """One packet. `Op` defines the meaning of *tag* and *body*."""

    op: int
    seat: int
    tag: int
    body: bytes


_new: Final = tuple.__new__


class BadPacket(Exception):
    """The stream contains bytes that are no valid packet of this version."""


#: The body of `Op.SETTLED`.
SIZE: Final = struct.Struct("!Q")


def pack(op: int, seat: int = 0, tag: int = 0, body: bytes = b"") -> bytes:
    """Return one packet as bytes."""
    return HEADER.pack(op, seat, tag, len(body)) + body


class Unpacker:
    """Splits a stream into packets. A large body is copied only once."""

    def __init__(self) -> None:
        self._rest = b""
        self._partial: _PartialPacket | None = None

    def feed(self, data: bytes) -> Iterator[Packet]:
        """Yield the packets that are complete with *data*. Raises `BadPacket`."""
        if self._partial is not None:
            data = self._partial.fill(data)
            if not self._partial.is_full:
                return
            yield self._partial.packet()
            self._partial = None
        buffer = self._rest + data if self._rest else data
        start, end = 0, len(buffer)
        while end - start >= HEADER.size:
            op, seat, tag, length = HEADER.unpack_from(buffer, start)
            if length > MAX_BODY:
                raise BadPacket(f"a body of {length} bytes")
            body = start + HEADER.size
            if end - body < length:
                if length > LARGE:
                    self._partial = _PartialPacket(op, seat, tag, length)
                    self._partial.fill(buffer[body:])
                    start = end
                break
            start = body + length
            # Bypasses the constructor, which takes more time than all the rest.
            yield _new(Packet, (op, seat, tag, buffer[body:start]))
        self._rest = buffer[start:]


class _PartialPacket:
    """A large packet that is still incomplete."""

    def __init__(self, op: int, seat: int, tag: int, length: int) -> None:
        self._head = op, seat, tag
        self._body = bytearray(length)
        self._missing = memoryview(self._body)

    @property
    def is_full(self) -> bool:
        """Whether the whole packet has arrived."""
        return not self._missing

    def fill(self, data: bytes) -> bytes:
        """Copy the missing bytes from *data*, and return the rest of *data*."""
        count = min(len(data), len(self._missing))
        self._missing[:count] = data[:count]
        self._missing = self._missing[count:]
        return data[count:]

    def packet(self) -> Packet:
        """Return the complete packet. Its body is a bytearray that is not changed any more."""
        self._missing.release()
        return Packet(*self._head, cast("bytes", self._body))
