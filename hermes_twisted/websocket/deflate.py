"""permessage-deflate (RFC 7692), bounded: what is agreed, deflated and inflated.

No context is kept from one message to the next, in either direction: an idle
connection costs no memory, and every message can be judged by itself.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

#: Smaller payloads gain nothing.
SMALLEST: Final = 1024
#: Larger ones go as they are: Node's client dies of a message that inflates to 4 MiB,
#: and the loop would be busy with one for too long.
LARGEST: Final = 1024 * 1024

#: The window, as a power of two, that we deflate with and ask clients to keep to.
WINDOW_BITS: Final = 12
_WIDEST: Final = 15
_MEMORY_LEVEL: Final = 6
_LEVEL: Final = 3
#: What a sender leaves out at the end (RFC 7692 §7.2.1).
_TAIL: Final = b"\x00\x00\xff\xff"
#: Deflate streams that one message may consist of (RFC 7692 §7.2.3.4).
_MAX_STREAMS: Final = 64

_NAME: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER: Final = re.compile(rf'({_NAME})(?:\s*=\s*(?:({_NAME})|"({_NAME})"))?')
_BITS: Final = re.compile(r"[89]|1[0-5]")


class Corrupt(Exception):
    """What came is not deflated data."""


class TooLarge(Exception):
    """It inflates to more than is allowed."""


@dataclass(frozen=True)
class Agreed:
    """The window of each direction, and what the answer to the handshake says of it."""

    server_bits: int
    client_bits: int
    response: str


def agree(header: str) -> Agreed | None:
    """Take the first offer in `Sec-WebSocket-Extensions` that we can; None if there is none.

    An offer that is malformed, or that asks for what we do not know, is declined.
    """
    for offer in header.split(","):
        name, *parameters = (part.strip() for part in offer.split(";"))
        if name.lower() == "permessage-deflate":
            agreed = _take(parameters)
            if agreed is not None:
                return agreed
    return None


def _take(parameters: list[str]) -> Agreed | None:
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
        if asked is None or asked < 9:  # zlib has no window of 8 bits to deflate with.
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
    """*payload* as one message's data; None if it is better sent as it is."""
    if not SMALLEST <= len(payload) <= LARGEST:
        return None
    squeeze = zlib.compressobj(_LEVEL, zlib.DEFLATED, -bits, _MEMORY_LEVEL)
    data = squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)
    data = data.removesuffix(_TAIL)
    return data if len(data) < len(payload) else None


class Inflater:
    """Inflates one message, piece by piece."""

    def __init__(self, bits: int) -> None:
        self._bits = max(bits, 9)  # What zlib calls 8 is 9, also at the other end.
        self._streams = 0
        self._stream = self._begin()

    def inflate(self, data: bytes, limit: int) -> bytes:
        """More of it, at most *limit* bytes. Raises `TooLarge` or `Corrupt`."""
        parts = []
        while data:
            if self._stream.eof:  # The sender ended a stream; what follows is another.
                self._stream = self._begin()
            try:
                # One byte more than allowed tells; 0 would mean without a limit.
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
        """The end of the message. Raises `Corrupt`."""
        try:
            self.inflate(_TAIL, 0)
        except TooLarge:
            raise Corrupt("it ended too early") from None

    def _begin(self) -> zlib._Decompress:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise Corrupt("too many streams in one message")
        return zlib.decompressobj(-self._bits)


class Compression:
    """Inflates what comes within *room*, deflates what goes.

    *room* says how many bytes more the message may have; *fail* is told, with True, that
    it has more, or with False that it is corrupt. Nothing is raised: Autobahn's
    releases differ in what they make of that.
    """

    #: Autobahn names it in its reasons.
    EXTENSION_NAME = "permessage-deflate"

    def __init__(
        self, agreed: Agreed, room: Callable[[], int], fail: Callable[[bool], None]
    ) -> None:
        self._agreed = agreed
        self._room = room
        self._fail = fail
        self._inflater: Inflater | None = None

    def start_decompress_message(self) -> None:
        """A compressed message begins."""
        self._inflater = Inflater(self._agreed.client_bits)

    def decompress_message_data(self, data: bytes, max_output_len: int | None = None) -> bytes:
        """More of it. Autobahn's own limit is ours, less what the frame still has to bring."""
        if self._inflater is None:
            return b""  # It has failed.
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
        """It is complete."""
        inflater, self._inflater = self._inflater, None
        try:
            if inflater is not None:
                inflater.finish()
        except Corrupt:
            self._fail(False)

    def deflate(self, payload: bytes) -> bytes | None:
        """A message of ours as it goes; None to send it as it is."""
        return deflate(payload, self._agreed.server_bits)
