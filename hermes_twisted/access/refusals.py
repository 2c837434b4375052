"""The refusals of handshakes: HTTP status, title and advice."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Refusal:
    """The answer to a refused request. Never quotes the request."""

    status: int
    code: str
    """A short reason for programs: in logs, metrics and problem pages."""
    title: str
    advice: str
    headers: tuple[tuple[str, str], ...] = ()
    holdable: bool = False
    """Whether the client may be held in the waiting room: only after a valid handshake."""


METHOD_NOT_ALLOWED: Final = Refusal(
    405, "method", "Only GET opens a WebSocket.", "Use a WebSocket client.", (("Allow", "GET"),)
)
UPGRADE_REQUIRED: Final = Refusal(
    426,
    "upgrade-required",
    "This address is a WebSocket, and the request does not ask for one.",
    "Set HERMES_TUI_GATEWAY_URL to this address with ws:// in front and ?token=KEY behind, "
    "then run hermes --tui. Behind a proxy: let it pass the Upgrade and Connection headers.",
    (("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
WRONG_VERSION: Final = Refusal(
    426,
    "version",
    "Only version 13 of the WebSocket protocol is supported.",
    "Use a client that speaks RFC 6455.",
    (("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
BAD_HANDSHAKE: Final = Refusal(
    400, "handshake", "The WebSocket handshake is malformed.", "Use a client that speaks RFC 6455."
)
AMBIGUOUS_TOKEN: Final = Refusal(
    400,
    "key-ambiguous",
    "The key must be given exactly once.",
    "Send one token parameter in the query, or one Authorization: Bearer header.",
    holdable=True,
)
KEY_MISSING: Final = Refusal(
    401,
    "key-missing",
    "A key is needed.",
    "Append ?token=KEY to the URL, or send Authorization: Bearer KEY. "
    "On the server, hermes-attach key new NAME makes one and prints the line to paste.",
    (("WWW-Authenticate", "Bearer"),),
    holdable=True,
)
KEY_WRONG: Final = Refusal(
    401,
    "key-wrong",
    "This key is not valid, or has ended.",
    "On the server, hermes-attach key list shows the keys' names and which have ended; "
    "key new NAME makes another and prints the line to paste.",
    (("WWW-Authenticate", "Bearer"),),
    holdable=True,
)
ORIGIN_REFUSED: Final = Refusal(
    403,
    "origin",
    "Web pages may not attach.",
    "If this page is yours, name its origin with --allow-origin on the server.",
)
HOST_REFUSED: Final = Refusal(
    403,
    "host",
    "The Host header does not name this server.",
    "Use the address and port it listens on, or name the other with --allow-host on the server "
    "(for a tunnel from another port: --allow-host 127.0.0.1).",
    holdable=True,
)
_FULL_HEADERS: Final = (("Retry-After", "10"),)
FULL: Final = Refusal(
    503,
    "full",
    "As many terminals are attached as this server allows.",
    "Close one, or raise --max-connections on the server.",
    _FULL_HEADERS,
    holdable=True,
)
SOURCE_FULL: Final = Refusal(
    503,
    "source-full",
    "As many terminals are attached from this address as this server allows.",
    "Close one, or raise --max-connections-per-address on the server.",
    _FULL_HEADERS,
    holdable=True,
)


def too_many_failures(seconds: float) -> Refusal:
    """Return the refusal of a wrong key from a source that is blocked for *seconds*."""
    wait = max(1, math.ceil(seconds))
    return Refusal(
        429,
        "too-many-failures",
        "Too many wrong keys came from this address.",
        f"A correct key is accepted at once; wrong ones are refused for {wait} s.",
        (("Retry-After", str(wait)),),
        holdable=True,
    )


SERVER_STOPS: Final = Refusal(
    503, "stopping", "This server is stopping.", "Try again in a moment.", (("Retry-After", "5"),)
)
