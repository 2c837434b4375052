from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted.hermes.transport import Transport
from tests.unit.hermes.clients import GUARD, Client, answer


@pytest.mark.parametrize(
    "text",
    [b"{", b"", b"\xff", b'{"id":1,"method":"m","params":' + b"[" * 100_000, b"1" * 10_000],
)
def test_not_json(client: Client, text: bytes) -> None:
    """What Hermes' Python cannot parse is answered, and Hermes never sees it."""
    client.ask(8, text)

    error = {"code": -32700, "message": "parse error"}
    assert client.answers() == [(8, {"jsonrpc": "2.0", "id": None, "error": error})]
    assert client.log == []


@pytest.mark.parametrize("request_", [[], [1], "x", 5, None])
def test_not_an_object(client: Client, request_: Any) -> None:
    """What is no request is Hermes' to answer."""
    client.handler = lambda request, transport: answer(None, "as upstream")

    client.ask(8, request_)

    assert client.answers() == [(8, answer(None, "as upstream"))]
    assert client.log == [request_]


@pytest.mark.parametrize("failure", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_handler_fails(
    client: Client, caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    """A failing handler is answered without its words, and the lane goes on."""

    def handler(request: Any, transport: Transport) -> dict[str, Any]:
        if request["id"] == 1:
            raise failure("a secret")
        return answer(2)

    client.handler = handler
    with caplog.at_level(logging.ERROR):
        client.ask(1, {"id": 1, "method": "m"})
        client.ask(2, {"id": 2, "method": "m"})
        answers = client.answers()

    error = {"code": -32603, "message": "internal error"}
    assert answers == [(1, {"jsonrpc": "2.0", "id": 1, "error": error}), (2, answer(2))]
    assert "a request handler of Hermes failed" in caplog.text


def test_requests_are_settled(client: Client) -> None:
    """A request counts as settled when it is run, with its bytes."""
    text = b'{"id": 1, "method": "m"}'

    client.ask(1, text)

    client.items()
    assert client.settlements.take() == (1, len(text))


def test_urgent_overtakes(client: Client) -> None:
    """An urgent request runs while an ordinary one blocks; ordinary ones wait."""
    opened = threading.Event()

    def handler(request: Any, transport: Transport) -> dict[str, Any]:
        if request["method"] == "open.respond":
            opened.set()
        if request["method"] == "block":
            assert opened.wait(GUARD)
        return answer(request["id"])

    client.handler = handler
    client.ask(1, {"id": 1, "method": "block"})
    client.ask(2, {"id": 2, "method": "later"})
    client.ask(3, {"id": 3, "method": "open.respond"}, urgent=True)

    assert [tag for tag, _said in client.answers() if tag != 3] == [1, 2]


class HandLane:
    """A lane whose jobs the test runs by hand; those that are cleared are already begun."""

    def __init__(self) -> None:
        self.jobs: list[Callable[[], None]] = []

    def put(self, job: Callable[[], None]) -> None:
        self.jobs.append(job)

    def clear(self) -> int:
        return 0

    def resume(self) -> None:
        pass


class HandPool:
    """Makes lanes that run nothing by themselves."""

    def __init__(self) -> None:
        self.lanes: list[HandLane] = []

    def lane(self, *, urgent: bool = False) -> HandLane:
        self.lanes.append(HandLane())
        return self.lanes[-1]


def test_request_that_begins_as_the_client_goes() -> None:
    """A request that a thread has taken just when the client goes is settled, not run."""
    pool = HandPool()
    client = Client(pool)
    client.ask(1, b'{"id":1,"method":"m"}')
    client.end()

    for job in pool.lanes[0].jobs:
        job()

    assert client.log == ["released"]
    assert client.settlements.take() == (1, 21)


class Pool:
    """Hermes' own pool, whose requests are answered by hand."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.running: list[Any] = []
        self.begun = threading.Semaphore(0)
        client.handler = self.dispatch

    def dispatch(self, request: Any, transport: Transport) -> dict[str, Any] | None:
        if request["method"].startswith("long."):
            self.running.append(request["id"])
            self.begun.release()
            return None
        return answer(request["id"])

    def ask(self, *methods: str) -> None:
        for number, method in enumerate(methods, 1):
            self.client.ask(number, {"id": number, "method": method})
        self.quiet()

    def finish(self, identity: Any) -> None:
        self.client.write(answer(identity))
        self.quiet()

    def quiet(self) -> None:
        assert self.client.lanes.wait_quiet(GUARD)


def test_share_of_the_pool(client: Client) -> None:
    """No more long requests of one client run at once than its share; the rest waits in order."""
    pool = Pool(client)

    pool.ask("long.a", "long.b", "short", "long.c", "short", "long.d")

    assert pool.running == [1, 2]
    assert [tag for tag, _ in client.answers()] == [3]
    pool.finish(2)
    assert pool.running == [1, 2, 4]
    assert [tag for tag, _ in client.answers()] == [2, 5]
    pool.finish(1)
    assert pool.running == [1, 2, 4, 6]


def test_urgent_requests_have_no_share(client: Client) -> None:
    """Interrupts and answers run however much of the pool the client has."""
    pool = Pool(client)
    pool.ask("long.a", "long.b", "long.c")

    client.ask(9, {"id": 9, "method": "session.interrupt"}, urgent=True)
    client.ask(10, {"id": 10, "method": "long.respond"}, urgent=True)

    assert [tag for tag, _ in client.answers()] == [9]
    assert pool.running == [1, 2, 10]


def test_a_waiting_request_is_not_settled(client: Client) -> None:
    """What waits for the pool counts as waiting: its client may send only so much more."""
    pool = Pool(client)

    pool.ask("long.a", "long.b", "long.c", "short")

    assert client.settlements.take()[0] == 2
    assert client.seat.owes


def test_a_failing_long_request_gives_its_place_back(client: Client) -> None:
    """A place in the pool is free again when its request is answered on the spot, or fails."""
    outcomes: list[Any] = [RuntimeError("x"), answer(2), RuntimeError("x"), answer(4), None]

    def handler(request: Any, transport: Transport) -> dict[str, Any] | None:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    client.handler = handler
    for number in range(1, 6):
        client.ask(number, {"id": number, "method": "long.x"})

    assert [tag for tag, _ in client.answers()] == [1, 2, 3, 4]
    assert outcomes == []


def test_one_id_for_all(client: Client) -> None:
    """A client that gives all its requests one id loses no place in the pool by it."""
    pool = Pool(client)
    opened = threading.Event()

    def dispatch(request: Any, transport: Transport) -> dict[str, Any] | None:
        if request["method"] == "block.respond":
            assert opened.wait(GUARD)
        return pool.dispatch(request, transport)

    client.handler = dispatch
    client.ask(1, {"id": "x", "method": "block.respond"}, urgent=True)
    client.ask(2, {"id": "x", "method": "long.a"})
    client.ask(3, {"id": "x", "method": "long.b"})
    client.ask(4, {"id": "x", "method": "long.c"})
    client.ask(5, {"id": "x", "method": "long.d"})
    for _ in range(2):
        assert pool.begun.acquire(timeout=GUARD)
    client.write(answer("x"))
    client.write(answer("x"))
    opened.set()
    pool.quiet()

    assert pool.running == ["x"] * 4
    for _ in range(2):
        pool.finish("x")
    assert sorted(tag for tag, _ in client.answers()) == [1, 2, 3, 4, 5]
    assert not client.seat.owes


def test_detached_while_it_waits_for_the_pool(client: Client) -> None:
    """A client that goes while its request waits for the pool is released all the same."""
    pool = Pool(client)
    pool.ask("long.a", "long.b", "long.c")

    client.end()
    pool.quiet()

    assert pool.running == [1, 2]
    assert client.log[-1] == "released"


def test_detached_while_it_finds_the_pool_full(client: Client) -> None:
    """The same in the very moment in which the request finds no place."""
    pool = Pool(client)
    pool.ask("long.a", "long.b")

    client.long_methods.on_look = client.end
    client.ask(3, {"id": 3, "method": "long.c"})
    pool.quiet()

    assert client.log[-1] == "released"
