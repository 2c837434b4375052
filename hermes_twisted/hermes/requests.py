"""One client's requests to Hermes: they wait in lanes and run one at a time, in order."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ..shared.lanes import LATER, Lane
from ..shared.settlements import Settlements
from .answers import Answers, Asked, FollowUp, id_key
from .codec import decode
from .live_ids import LiveIds
from .methods import Response
from .outgoing import INTERNAL_ERROR
from .transport import Transport

_log = logging.getLogger(__name__)

PARSE_ERROR: Final = {"code": -32700, "message": "parse error"}


@dataclass(frozen=True)
class MethodTraits:
    """Methods of Hermes whose requests are treated in a special way."""

    pooled: frozenset[str] = frozenset()
    """Hermes runs them in its own pool of threads."""
    follow_ups: Mapping[str, FollowUp] = field(default_factory=dict)
    """Events follow their answers."""


class Requests:
    """Runs the requests of one client, the urgent ones in a lane of their own.

    *dispatch* is called in a lane's thread and returns the answer, or None if Hermes will
    write it to *transport*.
    """

    def __init__(
        self,
        lane: Lane,
        urgent_lane: Lane,
        settlements: Settlements,
        transport: Transport,
        answers: Answers,
        live_ids: LiveIds,
        traits: MethodTraits,
        dispatch: Callable[[Any, Transport], Response | None],
    ) -> None:
        self._lane = lane
        self._urgent_lane = urgent_lane
        self._settlements = settlements
        self._transport = transport
        self._answers = answers
        self._live_ids = live_ids
        self._traits = traits
        self._dispatch = dispatch
        self.ended = False
        """Whether the client is gone."""

    @property
    def pending(self) -> bool:
        """Whether a request waits, runs or has no answer."""
        return self._answers.due or self._lane.waits

    def submit(self, tag: int, text: bytes, *, urgent: bool) -> None:
        """Run a request after the client's earlier ones. Never blocks."""
        lane = self._urgent_lane if urgent else self._lane
        lane.put(_Job(self, tag, text, urgent))

    def end(self, then: Callable[[], None]) -> None:
        """Drop the requests that wait, and call *then* behind the one that runs."""
        self.ended = True
        self._lane.clear()
        self._urgent_lane.clear()
        self._lane.put(then)
        self._lane.resume()

    def run(self, tag: int, request: Any, size: int, *, urgent: bool) -> object:
        """Run a request of *size* bytes in this thread.

        Returns `LATER`, and does nothing, if it needs a place in Hermes' pool and the client
        has none free. Urgent requests need none.
        """
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str):
            method = ""
        pooled = not (urgent or self.ended) and method in self._traits.pooled
        if pooled and not self._answers.take_place():
            return LATER
        self._settlements.settle(size)
        if request is _UNREADABLE:
            asked = Asked(id_key(None), tag, False, None)
            self._answers.returned({"jsonrpc": "2.0", "error": PARSE_ERROR, "id": None}, asked)
        elif not self.ended:
            identity = request.get("id") if isinstance(request, dict) else None
            follow_up = self._traits.follow_ups.get(method)
            self._ask(request, identity, Asked(id_key(identity), tag, pooled, follow_up))
        return None

    def _ask(self, request: Any, identity: Any, asked: Asked) -> None:
        # The client's own answer to a question of Hermes gets no answer.
        if not isinstance(request, dict) or "method" in request:
            self._answers.expect(asked)
        try:
            if self._live_ids.translates:
                request = self._live_ids.inward(request)
            response = self._dispatch(request, self._transport)
        except BaseException:  # A handler must not take the client's lane with it.
            _log.exception("a request handler of Hermes failed")
            response = {"jsonrpc": "2.0", "error": INTERNAL_ERROR, "id": identity}
        if response is not None:
            self._answers.returned(response, asked)


class _Job:
    """One request in a lane. It is parsed once, also if it has to wait there after that."""

    __slots__ = ("_request", "_requests", "_tag", "_text", "_urgent")

    def __init__(self, requests: Requests, tag: int, text: bytes, urgent: bool) -> None:
        self._requests = requests
        self._tag = tag
        self._text = text
        self._urgent = urgent
        self._request: Any = _UNREAD

    def __call__(self) -> object:
        if self._request is _UNREAD:
            self._request = _read(self._text)
        return self._requests.run(self._tag, self._request, len(self._text), urgent=self._urgent)


#: Stand for a request that has not been parsed, and for one that cannot be.
_UNREAD: Final = object()
_UNREADABLE: Final = object()


def _read(text: bytes) -> Any:
    try:
        return decode(text)
    except (ValueError, RecursionError):
        return _UNREADABLE
