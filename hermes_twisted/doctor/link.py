"""The checks on an open WebSocket: whether `gateway.ready` comes, and how long pings take."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, Final

from ..websocket.frames import CLOSE, CONTINUATION, PING, PONG, TEXT, WebSocketFrame
from . import messages
from .findings import Finding, ok, problem, warning
from .messages import BadMessage, Messages
from .network import Network, Stream

#: Slower than this, typing feels slow: seconds, of half the pings and of the slowest.
SLOW_USUAL: Final = 0.25
SLOW_WORST: Final = 1.0
_READ: Final = 65536


class Ended(Exception):
    """The connection ended, or its bytes were not WebSocket frames; the text says how."""


@dataclass(frozen=True)
class Pings:
    """The round trips of answered pings, in seconds, and the number of pings sent."""

    sent: int
    times: tuple[float, ...]

    @property
    def lost(self) -> int:
        """How many pings were not answered."""
        return self.sent - len(self.times)

    @property
    def usual(self) -> float:
        """The median round trip; 0 if no ping was answered."""
        return sorted(self.times)[ceil(len(self.times) / 2) - 1] if self.times else 0.0


class ClientLink:
    """The client's end of an open WebSocket.

    *began* is what was received with the handshake's answer.
    """

    def __init__(self, network: Network, stream: Stream, messages: Messages, began: bytes) -> None:
        self._network = network
        self._stream = stream
        self._messages = messages
        self._data = bytearray(began)

    def wait_for(self, kind: str, seconds: float) -> bool:
        """Return whether an event of this kind comes within *seconds*. Raises `Ended`."""
        deadline = self._network.now() + seconds
        return any(
            _event(message) == kind
            for frame in self._frames(deadline)
            if frame.opcode in (CONTINUATION, TEXT) and (message := self._take(frame)) is not None
        )

    def measure(self, count: int, interval: float, patience: float) -> Pings:
        """Send *count* pings, one each *interval* seconds; wait *patience* seconds for the last.

        Raises `Ended`.
        """
        sent: dict[bytes, float] = {}
        times: list[float] = []
        deadline = self._network.now()
        for number in range(count):
            payload = struct.pack("!I", number)
            sent[payload] = self._network.now()
            self._send(PING, payload)
            deadline += interval if number < count - 1 else patience
            for frame in self._frames(deadline):
                if frame.opcode == PONG and frame.payload in sent:
                    times.append(self._network.now() - sent.pop(frame.payload))
                if number == count - 1 and not sent:
                    break
        return Pings(count, tuple(times))

    def close(self) -> None:
        """Send a close frame, if that is still possible, and close the connection."""
        try:
            self._send(CLOSE, struct.pack("!H", 1000))
        except Ended:
            return
        finally:
            self._stream.close()

    def _take(self, frame: WebSocketFrame) -> bytes | None:
        try:
            return self._messages.take(frame)
        except BadMessage as bad:
            raise Ended(str(bad)) from None

    def _frames(self, deadline: float) -> Iterator[WebSocketFrame]:
        """Yield WebSocket frames until *deadline*; answer pings. Raises `Ended`."""
        while True:
            try:
                for frame in messages.take_frames(self._data):
                    if frame.opcode == CLOSE:
                        raise Ended(_close_text(frame.payload))
                    if frame.opcode == PING:
                        self._send(PONG, frame.payload)
                    yield frame
            except BadMessage as bad:
                raise Ended(str(bad)) from None
            left = deadline - self._network.now()
            if left <= 0:
                return
            self._stream.settimeout(left)
            try:
                more = self._stream.recv(_READ)
            except TimeoutError:
                return
            except OSError as error:
                raise Ended(f"the connection broke: {error.strerror or error}") from None
            if not more:
                raise Ended("the connection was closed without a close frame")
            self._data += more

    def _send(self, opcode: int, payload: bytes) -> None:
        try:
            self._stream.sendall(messages.encode(opcode, payload))
        except OSError as error:
            raise Ended(f"the connection broke: {error.strerror or error}") from None


def judge(pings: Pings) -> Finding:
    """Judge the round trips: slow or lost pings are a warning."""
    if not pings.times:
        return warning(
            "link",
            f"None of {pings.sent} pings was answered.",
            "The server is stalled, or a proxy in between drops pings.",
            "Try again; if terminals freeze, look at proxies in between, and at the server's load.",
        )
    worst = max(pings.times)
    measured = (
        f"round trip p50 {pings.usual * 1000:.0f} ms, max {worst * 1000:.0f} ms, "
        f"{pings.lost} of {pings.sent} pings lost"
    )
    if pings.lost or pings.usual > SLOW_USUAL or worst > SLOW_WORST:
        return warning(
            "link",
            f"The link is slow: {measured}.",
            "Text will arrive in bursts; proxies in between may drop a connection that stops for "
            "long.",
            "Compare with ping to the host: if that is fast, the server or a proxy is busy; if "
            "not, it is the network.",
        )
    return ok("link", measured)


def not_ready(seconds: float, state: str | None) -> Finding:
    """Report that `gateway.ready` did not come; *state* is what /ready said, if anything."""
    what = f"The connection is open, but gateway.ready did not come within {seconds:g} s."
    if state is None:
        return problem(
            "ready",
            what,
            "The server is stalled, or is not hermes-attach.",
            "Look into the server's log.",
        )
    return problem(
        "ready",
        what,
        f"The server says that Hermes is not ready: {state}.",
        "On the server: hermes-attach doctor, and the log of hermes-attach.",
    )


def ended(how: str) -> Finding:
    """Report that the connection ended after the upgrade."""
    return problem(
        "link",
        f"The connection was upgraded, then ended: {how}.",
        "A proxy that upgrades and cannot go on, or a server that refuses after the upgrade, as "
        "Hermes' dashboard does for sessions that have ended.",
        "Look into the logs of the server and of proxies in between.",
    )


def _close_text(payload: bytes) -> str:
    if len(payload) < 2:
        return "closed without a code"
    reason = "".join(c for c in payload[2:].decode("utf-8", "replace") if c.isprintable())
    (code,) = struct.unpack("!H", payload[:2])
    return f"close code {code}{f', “{reason}”' if reason else ''}"


def _event(message: bytes) -> str | None:
    """Return the `type` of an event, None for any other message."""
    try:
        frame: Any = json.loads(message)
        kind = frame["params"]["type"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return kind if isinstance(kind, str) else None
