"""permessage-deflate (RFC 7692) within limits: negotiation, deflating and inflating.

No context is kept from one message to the next, in either direction: an idle connection costs no
memory, and every message is inflated independently.

Why not Autobahn's own, whose limits on inflation (26.7.1 and later) we have tried (26.10.2):

- Its limit is of one message. What all clients' unfinished messages may have together does not
  limit it: where 1,000 bytes are left it inflates 25 MB (`test_bomb_is_not_inflated`).
- A message of one byte too many, in small fragments, is cut short and accepted, because output that
  zlib keeps back at the limit is not noticed (`test_fragmented_bomb`).
- After the end of a deflate stream within a message (RFC 7692 §7.2.3.4) the rest is lost without
  an error (`test_inflated`, `test_many_streams`).
- Offers that it does not understand are answered with 400 instead of being declined
  (`test_declined_offers`), though RFC 7692 §7.1 has the server decline them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Smaller payloads, in bytes, are not deflated: they gain nothing.
SMALLEST: Final = 1024
#: Larger ones neither: Node's client ends the connection at a message that inflates to 4 MiB, and
#: deflating would block the loop for too long.
LARGEST: Final = 1024 * 1024

#: The window, as a power of two, that we deflate with and ask clients to keep to.
WINDOW_BITS: Final = 12
_WIDEST: Final = 15
_MEMORY_LEVEL: Final = 6
_LEVEL: Final = 3
#: The bytes that a sender removes at the end of a message (RFC 7692 §7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
#: The most deflate streams in one message (RFC 7692 §7.2.3.4).
_MAX_STREAMS: Final = 64

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_NAME})(?:\s*=\s*(?:({_NAME})|"({_NAME})"))?')
_BITS: Final = re.compile(r"[89]|1[0-5]")


class Corrupt(Exception):
    """The data is not valid deflated data."""


class TooLarge(Exception):
    """The data inflates to more bytes than are allowed."""


@dataclass(frozen=True)
class Agreed:
    """The window of each direction as a power of two, and the header value of the answer."""

    server_bits: int
    client_bits: int
    response: str


def agree(header: str) -> Agreed | None:
    """Accept the first offer in `Sec-WebSocket-Extensions` that we can; None if there is none.

    An offer that is malformed, or has unknown parameters, is declined (RFC 7692 §7.1).
    """
    for offer in header.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == "permessage-deflate":
            agreed = _accept(parameters)
            if agreed is not None:
                return agreed
    return None


def _accept(parameters: list[str]) -> Agreed | None:
    given: dict[str, str | None] = {}
    for parameter in parameters:
        match = _PARAMETER.fullmatch(parameter)
        if match is None or match[1].lower() in given:
            return None
        given[match[1].lower()] = match[2] or match[3]
    flags = [given.pop(f"{end}_no_context_takeover", None) for end in ("server", "client")]
    if any(value is not None for value in flags):
        return None
    response = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    server_bits, client_bits = WINDOW_BITS, _WIDEST
    if "server_max_window_bits" in given:
        asked = _bits(given.pop("server_max_window_bits"))
        if asked is None or asked < 9:  # zlib cannot deflate with a window of 8 bits.
            return None
        server_bits = min(asked, WINDOW_BITS)
        response += f"; server_max_window_bits={server_bits}"
    if "client_max_window_bits" in given:
        value = given.pop("client_max_window_bits")
        offered = _WIDEST if value is None else _bits(value)
        if offered is None:
            return None
        client_bits = min(offered, WINDOW_BITS)
        response += f"; client_max_window_bits={client_bits}"
    return None if given else Agreed(server_bits, client_bits, response)


def _bits(value: str | None) -> int | None:
    return int(value) if value is not None and _BITS.fullmatch(value) else None


def deflate(payload: bytes, bits: int) -> bytes | None:
    """Deflate *payload* as one message; return None if it is better sent as it is."""
    if not SMALLEST <= len(payload) <= LARGEST:
        return None
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEMORY_LEVEL)
    data = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(_TAIL)
    return data if len(data) < len(payload) else None


class Inflater:
    """Inflates one message, piece by piece. *bits* is the client's window."""

    def __init__(self, bits: int) -> None:
        self._bits = max(bits, 9)  # zlib makes 9 of 8, also at the other end.
        self._streams = 0
        self._stream = self._begin()

    def inflate(self, data: bytes, limit: int) -> bytes:
        """Inflate *data* to at most *limit* bytes. Raises `TooLarge` or `Corrupt`."""
        parts = []
        while data:
            if self._stream.eof:  # The sender has ended a stream; another one follows.
                self._stream = self._begin()
            try:
                # One byte more than allowed is enough to know; 0 would mean no limit.
                part = self._stream.decompress(data, limit + 1)
            except zlib.error as error:
                raise Corrupt(str(error)) from None
            if len(part) > limit:
                raise TooLarge
            limit -= len(part)
            parts.append(part)
            data = self._stream.unused_data
        return b"".join(parts)

    def finish(self) -> None:
        """Check that the message is complete. Raises `Corrupt`."""
        try:
            self.inflate(_TAIL, 0)
        except TooLarge:
            raise Corrupt("the message is not complete") from None

    def _begin(self) -> zlib._Decompress:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise Corrupt("too many streams in one message")
        return zlib.decompressobj(-self._bits)


class Compression:
    """Inflates incoming messages and deflates outgoing ones, as Autobahn's extension object.

    *room* returns how many more bytes the message may have; *fail* is called with True if it has
    more, with False if it is corrupt. Nothing is raised: Autobahn's releases differ in how they
    handle exceptions here.
    """

    #: Autobahn uses this in reasons for a close.
    EXTENSION_NAME = "permessage-deflate"

    def __init__(
        self, agreed: Agreed, room: Callable[[], int], fail: Callable[[bool], None]
    ) -> None:
        self._agreed = agreed
        self._room = room
        self._fail = fail
        self._inflater: Inflater | None = None

    def start_decompress_message(self) -> None:
        """Begin a compressed message."""
        self._inflater = Inflater(self._agreed.client_bits)

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Inflate a part of the message within `room`, in place of Autobahn's *max_output_len*."""
        if self._inflater is None:
            return b""  # The message has failed before.
        try:
            return self._inflater.inflate(data, self._room())
        except TooLarge:
            self._inflater = None
            self._fail(True)
        except Corrupt:
            self._inflater = None
            self._fail(False)
        return b""

    def end_decompress_message(self) -> None:
        """Check that the message is complete."""
        inflater, self._inflater = self._inflater, None
        try:
            if inflater is not None:
                inflater.finish()
        except Corrupt:
            self._fail(False)

    def deflate(self, payload: bytes) -> bytes | None:
        """Deflate a message of ours; return None to send it as it is."""
        return deflate(payload, self._agreed.server_bits)
