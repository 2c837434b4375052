"""permessage-deflate for one connection: what Autobahn asks while a message comes."""

from __future__ import annotations

from collections.abc import Callable

from .core import deflate
from .core.deflate import Agreed, Corrupt, Inflater, TooLarge


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
        return deflate.deflate(payload, self._agreed.server_bits)
