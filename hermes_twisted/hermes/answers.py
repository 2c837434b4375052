"""Match Hermes' answers with a client's requests, and limit its share of Hermes' thread pool.

Hermes answers a request by what its dispatcher returns, or, from its own pool of threads,
by what it writes to the transport, perhaps before the dispatcher has returned.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .methods import Response
from .outgoing import Outgoing

#: Returns the texts of the events that are to follow an answer.
FollowUp = Callable[[Response], Iterable[bytes]]


@dataclass(eq=False, slots=True)
class Asked:
    """A request that Hermes has not answered yet."""

    key: str | tuple[str]
    """Its id, as `id_key` makes it."""
    tag: int
    """The number under which the front knows the request; 0 for none."""
    pooled: bool
    """Whether it occupies one of the client's places in Hermes' pool."""
    follow_up: FollowUp | None


class Answers:
    """Queues Hermes' answers under the tags of their requests. Thread-safe.

    *pool_share* requests of the client may run in Hermes' pool at once; *on_place_free* is
    called when one of them has ended.
    """

    def __init__(
        self, outgoing: Outgoing, pool_share: int, on_place_free: Callable[[], None]
    ) -> None:
        self._outgoing = outgoing
        self._pool_share = pool_share
        self._on_place_free = on_place_free
        self._lock = threading.Lock()
        self._asked: dict[str | tuple[str], list[Asked]] = {}
        self._pooled = 0

    @property
    def due(self) -> bool:
        """Whether a request has no answer yet."""
        return bool(self._asked)

    def take_place(self) -> bool:
        """Occupy one of the client's places in Hermes' pool; False if none is free."""
        with self._lock:
            if self._pooled >= self._pool_share:
                return False
            self._pooled += 1
            return True

    def expect(self, asked: Asked) -> None:
        """Remember a request until it is answered."""
        with self._lock:
            self._asked.setdefault(asked.key, []).append(asked)

    def returned(self, response: Response, asked: Asked) -> None:
        """Queue what the dispatcher returned for the request *asked*."""
        with self._lock:
            self._forget(asked)
        self._queue(response, asked.tag, asked.follow_up)
        if asked.pooled:
            self._free_place()

    def written(self, response: Response) -> bool:
        """Queue an answer that Hermes wrote; False if the client is gone.

        An answer to an unknown request is queued with tag 0.
        """
        asked = self._match(id_key(response.get("id")))
        if asked is None:
            return self._outgoing.put_answer(response, 0)
        queued = self._queue(response, asked.tag, asked.follow_up)
        if asked.pooled:
            self._free_place()
        return queued

    def _queue(self, response: Response, tag: int, follow_up: FollowUp | None) -> bool:
        queued = self._outgoing.put_answer(response, tag)
        if follow_up is not None:
            for text in follow_up(response):
                self._outgoing.repeat(text)
        return queued

    def _match(self, key: str | tuple[str]) -> Asked | None:
        """Forget and return the request that a written answer with this id most likely answers.

        A client may use one id for several requests at once: one in Hermes' pool is taken
        before others, and the oldest before newer ones.
        """
        with self._lock:
            waiting = self._asked.get(key)
            if not waiting:
                return None
            asked = next((one for one in waiting if one.pooled), waiting[0])
            self._forget(asked)
            return asked

    def _forget(self, asked: Asked) -> None:
        waiting = self._asked.get(asked.key)
        if waiting and asked in waiting:
            waiting.remove(asked)
            if not waiting:
                del self._asked[asked.key]

    def _free_place(self) -> None:
        with self._lock:
            self._pooled -= 1
        self._on_place_free()


def id_key(identity: Any) -> str | tuple[str]:
    """Return a request's id as a key. JSON-RPC ids have any type: 1, 1.0, true, "1" are four."""
    return identity if type(identity) is str else (repr(identity),)
