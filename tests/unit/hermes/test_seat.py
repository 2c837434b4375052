from __future__ import annotations

import threading
from typing import Any

from hermes_twisted.hermes.transport import Transport
from tests.unit.hermes.clients import GUARD, Client, answer, event


def test_the_greeting_comes_first(client: Client) -> None:
    """The greeting runs before the client's first request."""
    client.seat.run_first(lambda: client.log.append("greeted"))
    client.ask(1, {"id": 1, "method": "m"})

    client.items()
    assert client.log == ["greeted", {"id": 1, "method": "m"}]


def test_detach(client: Client) -> None:
    """A client that is gone: writes say so, requests that wait are void, Hermes is told last."""
    begun, go_on = threading.Event(), threading.Event()

    def handler(request: Any, transport: Transport) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(GUARD)
        client.log.append("ran to its end")
        return answer(request["id"])

    client.handler = handler
    client.ask(1, {"id": 1, "method": "running"})
    client.ask(2, {"id": 2, "method": "waiting"})
    assert begun.wait(GUARD)

    client.end()

    assert client.seat.transport._closed is True
    assert client.write(event("x")) is False
    assert client.write(answer(1)) is False
    go_on.set()
    assert client.items() == []
    assert client.log == [{"id": 1, "method": "running"}, "ran to its end", "released"]
