"""Requests that the host itself makes of Hermes, in a client's name."""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue

from .methods import Response


class OwnRequests:
    """Keeps the answers to the host's own requests from the client. Thread-safe."""

    def __init__(self) -> None:
        self.waiting: dict[str, SimpleQueue[Response]] = {}
        """By id: the requests that are not answered. Read it before `take`, to save the call."""

    def ask(
        self, identity: str, dispatch: Callable[[], Response | None], timeout: float
    ) -> Response | None:
        """Return the answer to the request that *dispatch* makes; None after *timeout* seconds.

        *identity* is the request's id. The answer is what *dispatch* returns, or what Hermes
        writes later. Blocks, so call it in a thread that Hermes does not answer from.
        """
        answers = self.waiting[identity] = SimpleQueue()
        try:
            return dispatch() or answers.get(timeout=timeout)
        except Empty:
            return None
        finally:
            del self.waiting[identity]

    def take(self, response: Response) -> bool:
        """Deliver *response* if it answers one of these requests; False if it does not."""
        answers = self.waiting.get(str(response.get("id")))
        if answers is None:
            return False
        answers.put(response)
        return True
