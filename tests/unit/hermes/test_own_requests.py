from __future__ import annotations

import threading
from typing import Any

import pytest

from hermes_twisted.hermes.transport import Transport
from tests.unit.hermes.clients import GUARD, Client, answer


@pytest.mark.parametrize("late", [False, True])
def test_requests_of_our_own(client: Client, late: bool) -> None:
    """Are answered to us alone, at once or through `write`."""

    def handler(request: Any, transport: Transport) -> dict[str, Any] | None:
        reply = answer(request["id"], "for us")
        if not late:
            return reply
        threading.Thread(target=transport.write, args=(reply,)).start()
        return None

    client.handler = handler

    assert client.seat.ask({"id": "own", "method": "m"}, GUARD) == answer("own", "for us")
    assert client.items() == []


def test_requests_of_our_own_may_fail(client: Client) -> None:
    """Nobody waits for ever."""
    client.handler = lambda request, transport: None

    assert client.seat.ask({"id": "own", "method": "m"}, 0.0) is None
