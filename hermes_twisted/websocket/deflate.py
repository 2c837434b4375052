"""permessage-deflate (RFC 7692) within limits: negotiation, deflating and inflating.

No context is kept from one message to the next, in either direction: an idle connection costs no
memory, and every message is inflated independently.

Replaces Autobahn's implementation, whose limits on inflation (since 26.7.1; tested: 26.10.2) are
not sufficient:

- It limits one message, but not the incomplete messages of all clients together: if 1,000 bytes are
  left of that limit it inflates 25 MB (`test_bomb_is_not_inflated`).
- A message in small fragments that is one byte too large is truncated and accepted, because output
  that zlib has not returned yet is ignored (`test_fragmented_bomb`).
- Data after the end of a deflate stream within a message (RFC 7692 §7.2.3.4) is dropped without an
  error (`test_inflated`, `test_many_streams`).
- Unknown offers are answered with 400, although a server has to decline them (RFC 7692 §7.1,
  `test_declined_offers`).
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Payloads with fewer bytes are not deflated: it would save nothing.
SMALLEST: Final = 1024
#: Payloads with more bytes are not deflated: it would block the loop for too long, and Node's
#: client ends the connection if a message inflates to 4 MiB.
LARGEST: Final = 1024 * 1024

#: The window, as a power of two, that we deflate with and ask clients to use.
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
    """Accept the first acceptable offer in `Sec-WebSocket-Extensions`; None if there is none.

    An offer that is malformed or has unknown parameters is declined (RFC 7692 §7.1).
    """
    for offer in header.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == "permessage-deflate":
            agreed = _accept(parameters)
            if agreed is not None:
                return agreed
    return None


def _accept(parameters: list[str]) -> Agreed | None:
    """Accept one offer by its parameters (RFC 7692 §7.1); None to decline it."""
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
    """Deflate *payload* as one message; return None if it should be sent uncompressed.

    *bits* is the window as a power of two.
    """
    if not SMALLEST <= len(payload) <= LARGEST:
        return None
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEMORY_LEVEL)
    data = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(_TAIL)
    return data if len(data) < len(payload) else None


class Inflater:
    """Inflates one message, piece by piece. *bits* is the client's window as a power of two."""

    def __init__(self, bits: int) -> None:
        self._bits = max(bits, 9)  # zlib uses 9 for 8, also when it deflates.
        self._streams = 0
        self._stream = self._begin()

    def inflate(self, data: bytes, limit: int) -> bytes:
        """Inflate *data* to at most *limit* bytes. Raises `TooLarge` or `Corrupt`."""
        parts = []
        while data:
            if self._stream.eof:  # The sender has ended a stream, and begins another one.
                self._stream = self._begin()
            try:
                # One byte more than allowed shows an excess; 0 would mean no limit.
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
        """Begin a deflate stream. Raises `Corrupt` if there are too many in the message."""
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise Corrupt("too many streams in one message")
        return zlib.decompressobj(-self._bits)


class Compression:
    """Inflates incoming messages and deflates outgoing ones, as Autobahn's extension object.

    *limit* returns how many more bytes the message may have; *on_error* is called if it has more,
    or is corrupt. No method raises, because Autobahn's releases handle exceptions here differently.
    """

    #: Autobahn uses this in the reasons of closes.
    EXTENSION_NAME = "permessage-deflate"

    def __init__(
        self,
        agreed: Agreed,
        limit: Callable[[], int],
        on_error: Callable[[Corrupt | TooLarge], None],
    ) -> None:
        self._agreed = agreed
        self._limit = limit
        self._on_error = on_error
        self._inflater: Inflater | None = None

    def start_decompress_message(self) -> None:
        """Begin a compressed message."""
        self._inflater = Inflater(self._agreed.client_bits)

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """Inflate a part of the message, within our limit instead of *max_output_len*."""
        if self._inflater is None:
            return b""  # The message has failed already.
        try:
            return self._inflater.inflate(data, self._limit())
        except (TooLarge, Corrupt) as error:
            self._inflater = None
            self._on_error(error)
        return b""

    def end_decompress_message(self) -> None:
        """Check that the message is complete."""
        inflater, self._inflater = self._inflater, None
        try:
            if inflater is not None:
                inflater.finish()
        except Corrupt as error:
            self._on_error(error)

    def deflate(self, payload: bytes) -> bytes | None:
        """Deflate an outgoing message; return None to send it uncompressed."""
        return deflate(payload, self._agreed.server_bits)
