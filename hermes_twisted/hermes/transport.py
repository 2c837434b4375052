"""The transport of a client's sessions: what Hermes sees of the client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .answers import Answers
from .outgoing import Outgoing
from .own_requests import OwnRequests


class Transport:
    """A transport in the sense of `tui_gateway.transport`.

    Hermes calls `write` from any of its threads, compares transports by identity, and
    reads `_closed` to tell a client that is gone.
    """

    def __init__(
        self,
        outgoing: Outgoing,
        answers: Answers,
        own_requests: OwnRequests,
        on_lost: Callable[[dict[str, Any]], None],
    ) -> None:
        """*on_lost* is called with each frame that comes when the client is gone."""
        self._outgoing = outgoing
        self._answers = answers
        self._own_requests = own_requests
        self._on_lost = on_lost
        self._closed = False

    def write(self, obj: dict[str, Any]) -> bool:
        """Queue one frame, serialised now; False only if the client is gone. Never blocks."""
        if self._closed:
            self._on_lost(obj)
            return False
        if "method" in obj:
            return self._outgoing.put_event(obj)
        if self._own_requests.waiting and self._own_requests.take(obj):
            return True
        return self._answers.written(obj)

    def close(self) -> None:
        """Do nothing: Hermes may call this, but the front decides when a client ends."""

    def mark_closed(self) -> None:
        """Let `write` return False from now on: the client is gone."""
        self._closed = True
