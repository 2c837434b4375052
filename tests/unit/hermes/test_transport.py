from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest

from hermes_twisted.hermes.cures.lost_questions import Questions
from hermes_twisted.hermes.transport import INTERNAL_ERROR, Former, HostSeat
from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.outbox import ANSWER, DELTA, EVENT, NOTE, Item, Outbox

GUARD = 60.0
EVERYTHING = 2**40

Handler = Callable[[Any, HostSeat], dict[str, Any] | None]


def echo(request: Any, seat: HostSeat) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": {}}


class FakeHost:
    """Hermes as a seat sees it: each request goes to *handler*."""

    def __init__(self, lanes: Any, handler: Handler = echo) -> None:
        self.lanes = lanes
        self.questions = Questions(ModuleType("tui_gateway.server"))
        self.handler = handler
        self.log: list[Any] = []
        self.pool_share = 2

    def is_pooled(self, request: Any) -> bool:
        return isinstance(request, dict) and str(request.get("method")).startswith("long.")

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        self.log.append(request)
        return self.handler(request, seat)

    def greet(self, seat: HostSeat, former: list[Former]) -> None:
        self.log.append("greeted")

    def noticed(self, params: dict[str, Any], text: bytes) -> None:
        self.questions.notice(params, text)

    def release(self, seat: HostSeat) -> None:
        self.log.append("released")


class Client:
    """A seat, its host, and its outbox."""

    def __init__(self, lanes: Any, handler: Handler = echo) -> None:
        self.lanes = lanes
        self.host = FakeHost(lanes, handler)
        self.outbox = Outbox(lambda: None, settle_count=1)
        self.seat = HostSeat(self.host, self.outbox)  # type: ignore[arg-type]

    def ask(self, tag: int, request: Any, *, urgent: bool = False) -> None:
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.seat.submit(tag, text, urgent=urgent)

    def items(self) -> list[Item]:
        assert self.lanes.wait_quiet(GUARD)
        return self.outbox.take(EVERYTHING)

    def answers(self) -> list[tuple[int, Any]]:
        """Tags and answers that went out."""
        return [(tag, json.loads(text)) for kind, tag, text in self.items() if kind == ANSWER]


@pytest.fixture
def client(pool: LanePool) -> Client:
    return Client(pool)


def event(kind: Any, **payload: Any) -> dict[str, Any]:
    params = {"type": kind, "session_id": "s", "payload": payload}
    return {"jsonrpc": "2.0", "method": "event", "params": params}


def answer(identity: Any, result: Any = None) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": identity, "result": result}


@pytest.mark.parametrize(
    ("kind", "queued_as"),
    [
        ("message.delta", DELTA),
        ("reasoning.delta", DELTA),
        ("thinking.delta", DELTA),
        ("message.complete", EVENT),
        ("tool.delta", EVENT),
        ("message.start", EVENT),
        ("new.kind", EVENT),
        ("", EVENT),
        (None, EVENT),
        (5, EVENT),
    ],
)
def test_only_known_deltas_may_be_shed(client: Client, kind: Any, queued_as: int) -> None:
    """Only the events whose text a later one carries whole are queued as deltas."""
    frame = event(kind, text="word")

    assert client.seat.write(frame) is True

    [(queued, tag, text)] = client.items()
    assert (queued, tag, json.loads(text)) == (queued_as, 0, frame)


@pytest.mark.parametrize("params", [None, [], "x", 1])
def test_events_without_proper_params(client: Client, params: Any) -> None:
    """An event of an unusual form passes as it is."""
    assert client.seat.write({"method": "event", "params": params}) is True

    assert json.loads(client.items()[0][2]) == {"method": "event", "params": params}


def test_questions_pass(client: Client) -> None:
    """A request of Hermes to the client has an id and a method: it is no answer."""
    client.seat.write({"id": 1, "method": "ask", "params": {}})

    assert client.items()[0][0] == EVENT


def test_write_is_a_snapshot(client: Client) -> None:
    """What is sent is what was there when Hermes wrote it."""
    frame = event("x", items=[1])
    client.seat.write(frame)

    frame["params"]["payload"]["items"].append(2)

    assert json.loads(client.items()[0][2]) == event("x", items=[1])


def test_write_keeps_order(client: Client) -> None:
    """Events and answers go out in the order in which Hermes wrote them."""
    for number in range(5):
        client.seat.write(event("x", n=number) if number % 2 else answer(number))

    texts = [json.loads(text) for _kind, _tag, text in client.items()]
    numbers = [t["params"]["payload"]["n"] if "method" in t else t["id"] for t in texts]
    assert numbers == [0, 1, 2, 3, 4]


def test_endless_event_is_left_out(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """An event that cannot be put in JSON is left out and logged without its content."""
    payload: dict[str, Any] = {"secret": "conversation"}
    payload["self"] = payload

    assert client.seat.write(event("tool.complete", **{"p": payload})) is True
    assert client.seat.write(event("x")) is True

    assert len(client.items()) == 1
    assert "tool.complete" in caplog.text
    assert "conversation" not in caplog.text


def test_endless_answer_becomes_an_error(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """An answer that cannot be put in JSON is replaced: the client waits for one."""
    loop: list[Any] = []
    loop.append(loop)
    client.host.handler = lambda request, seat: answer(request["id"], loop)

    client.ask(9, {"id": "q", "method": "m"})

    [(tag, said)] = client.answers()
    assert (tag, said["id"], said["error"]["code"]) == (9, "q", -32603)
    assert "cannot be put in JSON" in caplog.text


def test_write_never_raises(client: Client) -> None:
    """Nothing that Hermes writes raises into the thread of its agent."""

    class Broken:
        def __str__(self) -> str:
            raise KeyError("broken")

    assert client.seat.write(event("x", thing=Broken())) is True
    assert client.items() == []

    client.host.handler = lambda request, seat: answer(request["id"], Broken())
    client.ask(3, {"id": "a", "method": "m"})
    assert client.answers() == [(3, {"jsonrpc": "2.0", "id": "a", "error": INTERNAL_ERROR})]

    assert client.seat.write(answer(Broken)) is True
    assert client.seat.write(answer([Broken()])) is True


def test_answer_whose_id_cannot_be_said(client: Client) -> None:
    """An answer whose very id cannot be put in JSON becomes an error without one."""
    endless: list[Any] = []
    endless.append(endless)
    client.host.handler = lambda request, seat: answer(endless)

    client.ask(3, {"id": 1, "method": "m"})

    assert client.answers() == [(3, {"jsonrpc": "2.0", "id": None, "error": INTERNAL_ERROR})]


def test_a_response_is_owed_no_answer(client: Client) -> None:
    """What the client answers to a question of Hermes is answered by nobody."""
    client.host.handler = lambda request, seat: None

    client.ask(1, {"id": "srq-1", "result": {}})
    client.ask(2, {"id": "r1", "method": "long.one"})

    assert client.lanes.wait_quiet(GUARD)
    assert client.seat._likely("srq-1") is None
    assert client.seat.owes
    client.seat.write(answer("r1"))
    client.outbox.take(EVERYTHING)
    assert not client.seat.owes


def test_answers_bear_their_tags(client: Client) -> None:
    """What `dispatch` returns goes out under the tag of its request."""
    client.ask(3, {"id": "a", "method": "m"})
    client.ask(4, {"id": "b", "method": "m"})

    assert [(tag, said["id"]) for tag, said in client.answers()] == [(3, "a"), (4, "b")]


def test_late_answer(client: Client) -> None:
    """An answer that comes through `write`, when the handler has long returned, bears its tag."""
    client.host.handler = lambda request, seat: None
    client.ask(5, {"id": 1, "method": "long"})
    assert client.items() == []

    client.seat.write(answer(1))

    assert client.answers() == [(5, answer(1))]


def test_early_answer(client: Client) -> None:
    """An answer that is written before `dispatch` returns bears its tag."""

    def handler(request: Any, seat: HostSeat) -> None:
        seat.write(answer(request["id"]))

    client.host.handler = handler
    client.ask(5, {"id": 1, "method": "long"})

    assert client.answers() == [(5, answer(1))]


def test_late_answers_in_any_order(client: Client) -> None:
    """Late answers find their tags by their ids, whatever their types."""
    identities = [1, 1.5, True, "1", None, "true", [1], {"a": 1}]
    client.host.handler = lambda request, seat: None
    for tag, identity in enumerate(identities, 1):
        client.ask(tag, {"id": identity, "method": "long"})
    client.items()

    for identity in reversed(identities):
        client.seat.write(answer(identity))

    assert client.answers() == [
        (tag, answer(identity)) for tag, identity in reversed(list(enumerate(identities, 1)))
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [(1, 1.0), (1, True), (1, "1"), (None, "None"), (1, "\x001"), (1, "('1',)"), ([1], "[1]")],
)
def test_similar_ids_are_different(client: Client, first: Any, second: Any) -> None:
    """Ids that Python would take for equal, or that look alike, are not mixed up."""
    client.host.handler = lambda request, seat: None
    client.ask(1, {"id": first, "method": "long"})
    client.ask(2, {"id": second, "method": "long"})
    client.items()

    client.seat.write(answer(second))
    client.seat.write(answer(first))

    assert [tag for tag, _said in client.answers()] == [2, 1]


def test_one_id_twice(client: Client) -> None:
    """Two requests under one id get their tags in the order in which they came."""
    client.host.handler = lambda request, seat: None
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "long"})
    client.items()

    for _ in range(3):
        client.seat.write(answer("x"))

    assert [tag for tag, _said in client.answers()] == [1, 2, 0]


def test_returned_answer_takes_its_own_tag(client: Client) -> None:
    """A returned answer leaves the tag of an older request under the same id alone."""
    replies = iter([None, answer("x", "second")])
    client.host.handler = lambda request, seat: next(replies)
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "short"})

    assert client.answers() == [(2, answer("x", "second"))]
    client.seat.write(answer("x", "first"))
    assert client.answers() == [(1, answer("x", "first"))]


def test_used_tags_are_forgotten(client: Client) -> None:
    """A late answer never gets the tag of an answered request that had the same id."""
    replies = iter([answer("x", "first"), None])
    client.host.handler = lambda request, seat: next(replies)
    client.ask(1, {"id": "x", "method": "short"})
    client.ask(2, {"id": "x", "method": "long"})
    assert client.answers() == [(1, answer("x", "first"))]

    client.seat.write(answer("x", "second"))

    assert client.answers() == [(2, answer("x", "second"))]


def test_answered_twice(client: Client) -> None:
    """A handler that writes its answer and returns it, too, loses no other request's tag."""

    def handler(request: Any, seat: HostSeat) -> dict[str, Any] | None:
        if request["method"] == "long":
            return None
        seat.write(answer("x", "written"))
        return answer("x", "returned")

    client.host.handler = handler
    client.ask(1, {"id": "x", "method": "long"})
    client.ask(2, {"id": "x", "method": "both"})

    # What is written cannot be told apart: it gets the oldest tag under this id.
    assert client.answers() == [(1, answer("x", "written")), (2, answer("x", "returned"))]


def test_answered_twice_beside_another(client: Client) -> None:
    """A needless second answer leaves the tag of a newer request under the same id alone."""
    noted = threading.Event()

    def handler(request: Any, seat: HostSeat) -> dict[str, Any] | None:
        if request["method"] == "long":
            noted.set()
            return None
        seat.write(answer("x", "written"))
        client.ask(2, {"id": "x", "method": "long"}, urgent=True)
        assert noted.wait(GUARD)
        return answer("x", "returned")

    client.host.handler = handler
    client.ask(1, {"id": "x", "method": "both"})

    assert client.answers() == [(1, answer("x", "written")), (1, answer("x", "returned"))]
    client.seat.write(answer("x", "late"))
    assert client.answers() == [(2, answer("x", "late"))]


def test_answer_to_nothing(client: Client) -> None:
    """An answer to a request that nobody made passes, without a tag."""
    client.seat.write(answer("unknown"))

    assert client.answers() == [(0, answer("unknown"))]


@pytest.mark.parametrize(
    "text",
    [b"{", b"", b"\xff", b'{"id":1,"method":"m","params":' + b"[" * 100_000, b"1" * 10_000],
)
def test_not_json(client: Client, text: bytes) -> None:
    """What Hermes' Python cannot parse is answered, and Hermes never sees it."""
    client.ask(8, text)

    error = {"code": -32700, "message": "parse error"}
    assert client.answers() == [(8, {"jsonrpc": "2.0", "id": None, "error": error})]
    assert client.host.log == []


@pytest.mark.parametrize("request_", [[], [1], "x", 5, None])
def test_not_an_object(client: Client, request_: Any) -> None:
    """What is no request is Hermes' to answer."""
    client.host.handler = lambda request, seat: answer(None, "as upstream")

    client.ask(8, request_)

    assert client.answers() == [(8, answer(None, "as upstream"))]
    assert client.host.log == [request_]


@pytest.mark.parametrize("failure", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_handler_fails(
    client: Client, caplog: pytest.LogCaptureFixture, failure: type[BaseException]
) -> None:
    """A failing handler is answered without its words, and the lane goes on."""

    def handler(request: Any, seat: HostSeat) -> dict[str, Any]:
        if request["id"] == 1:
            raise failure("a secret")
        return answer(2)

    client.host.handler = handler
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
    assert client.outbox.take_settled() == (1, len(text))


def test_urgent_overtakes(client: Client) -> None:
    """An urgent request runs while an ordinary one blocks; ordinary ones wait."""
    opened = threading.Event()

    def handler(request: Any, seat: HostSeat) -> dict[str, Any]:
        if request["method"] == "open.respond":
            opened.set()
        if request["method"] == "block":
            assert opened.wait(GUARD)
        return answer(request["id"])

    client.host.handler = handler
    client.ask(1, {"id": 1, "method": "block"})
    client.ask(2, {"id": 2, "method": "later"})
    client.ask(3, {"id": 3, "method": "open.respond"}, urgent=True)

    assert [tag for tag, _said in client.answers() if tag != 3] == [1, 2]


def test_welcome_comes_first(client: Client) -> None:
    """The greeting runs before the client's first request."""
    client.seat.welcome([])
    client.ask(1, {"id": 1, "method": "m"})

    client.items()
    assert client.host.log == ["greeted", {"id": 1, "method": "m"}]


def test_close_is_not_the_end(client: Client) -> None:
    """Hermes may close its transport; the client is served on."""
    client.seat.close()

    assert client.seat.write(event("x")) is True
    assert client.seat._closed is False


def test_detach(client: Client) -> None:
    """A client that is gone: writes say so, requests that wait are void, Hermes is told last."""
    begun, go_on = threading.Event(), threading.Event()

    def handler(request: Any, seat: HostSeat) -> dict[str, Any]:
        begun.set()
        assert go_on.wait(GUARD)
        client.host.log.append("ran to its end")
        return answer(request["id"])

    client.host.handler = handler
    client.ask(1, {"id": 1, "method": "running"})
    client.ask(2, {"id": 2, "method": "waiting"})
    assert begun.wait(GUARD)

    client.seat.detach()

    assert client.seat._closed is True
    assert client.seat.write(event("x")) is False
    assert client.seat.write(answer(1)) is False
    go_on.set()
    assert client.items() == []
    assert client.host.log == [{"id": 1, "method": "running"}, "ran to its end", "released"]


def test_write_after_an_overflow(client: Client) -> None:
    """A client that was given up gets nothing, and Hermes is told that it is gone."""
    client.outbox.overflow()

    assert client.seat.write(event("x")) is False
    assert client.seat.write(answer(1)) is False


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
    client.seat.detach()

    for job in pool.lanes[0].jobs:
        job()

    assert client.host.log == ["released"]
    assert client.outbox.take_settled() == (1, 21)


class Noting(Client):
    """A client whose seat tells the front of its sessions."""

    def __init__(self, lanes: Any, handler: Handler = echo) -> None:
        super().__init__(lanes, handler)
        self.sessions: list[Former] = []
        self.host.sessions_of = lambda seat: self.sessions  # type: ignore[attr-defined]
        self.seat = HostSeat(self.host, self.outbox, notes=True)  # type: ignore[arg-type]

    def heard(self) -> list[Any]:
        """Notes, and the types of events, in their order."""
        return [
            json.loads(text) if kind == NOTE else json.loads(text)["params"]["type"]
            for kind, _tag, text in self.items()
        ]


def turn_event(kind: str, sid: str) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "method": "event", "params": {"type": kind, "session_id": sid}}


@pytest.mark.parametrize("end", ["message.complete", "error"])
def test_turns_are_noted(pool: LanePool, end: str) -> None:
    """In their place: from before the first event of a turn until after its last."""
    client = Noting(pool)
    client.sessions = [{"id": "s", "key": "k", "cols": 80}]
    idle = {"sessions": [{"id": "s", "key": "k", "cols": 80, "running": False}]}
    running = {"sessions": [{"id": "s", "key": "k", "cols": 80, "running": True}]}

    for kind in ("message.start", "message.delta", end):
        client.seat.write(turn_event(kind, "s"))

    assert client.heard() == [running, "message.start", "message.delta", end, idle]


def seen_at_once(client: Noting) -> list[list[Any]]:
    """What whoever is roused finds: no more goes to the front before the process may end."""
    found: list[list[Any]] = []
    client.items()

    def look() -> None:
        if items := client.outbox.take(EVERYTHING):
            found.append([kind for kind, _tag, _text in items])

    client.outbox._wake = look
    return found


def test_the_end_of_a_turn_is_noted_with_it(pool: LanePool) -> None:
    """Killed between the two, a worker would leave behind a turn that is ended again."""
    client = Noting(pool)
    client.sessions = [{"id": "s", "key": "k", "cols": 80}]
    client.seat.write(turn_event("message.start", "s"))
    found = seen_at_once(client)

    client.seat.write(turn_event("message.complete", "s"))

    assert found == [[EVENT, NOTE]]


def test_a_new_session_is_noted_with_its_answer(pool: LanePool) -> None:
    """Killed between the two, a worker would leave a session that nobody resumes."""
    client = Noting(pool, lambda request, seat: answer(request["id"], {"session_id": "s"}))
    found = seen_at_once(client)
    client.sessions = [{"id": "s", "key": "k", "cols": 80}]

    client.ask(1, {"id": 1, "method": "session.create"})
    assert client.lanes.wait_quiet(GUARD)

    assert found == [[ANSWER, NOTE]]


def test_the_end_of_a_turn_that_cannot_be_put_in_json(pool: LanePool) -> None:
    """It is left out, and the turn is over all the same."""
    client = Noting(pool)
    client.sessions = [{"id": "s", "key": "k", "cols": 80}]
    client.seat.write(turn_event("message.start", "s"))
    client.items()
    endless: list[Any] = []
    endless.append(endless)
    event = turn_event("message.complete", "s")
    event["params"]["payload"] = endless

    client.seat.write(event)

    assert [note["sessions"][0]["running"] for note in client.heard()] == [False]


def test_the_same_is_not_noted_twice(pool: LanePool) -> None:
    """A note goes out when something has changed."""
    client = Noting(pool)
    client.seat.note_sessions()
    client.seat.note_sessions()

    assert client.heard() == [{"sessions": []}]


def test_notes_have_the_clients_ids(pool: LanePool) -> None:
    """So that the next worker resumes under them."""
    client = Noting(pool)
    client.seat.aliases.add("first", "s")
    client.sessions = [{"id": "s", "key": "k", "cols": 80}]
    client.seat.write(turn_event("message.start", "s"))

    note = client.heard()[0]
    assert note["sessions"][0]["id"] == "first"
    assert note["sessions"][0]["running"]


def test_without_notes(client: Client) -> None:
    """In one process with the front there is nobody to tell."""
    client.seat.write(turn_event("message.start", "s"))

    assert [kind for kind, _tag, _text in client.items()] == [EVENT]


@pytest.mark.parametrize("late", [False, True])
def test_requests_of_our_own(client: Client, late: bool) -> None:
    """Are answered to us alone, at once or through `write`."""

    def handler(request: Any, seat: HostSeat) -> dict[str, Any] | None:
        reply = answer(request["id"], "for us")
        if not late:
            return reply
        threading.Thread(target=seat.write, args=(reply,)).start()
        return None

    client.host.handler = handler

    assert client.seat.ask({"id": "own", "method": "m"}, GUARD) == answer("own", "for us")
    assert client.items() == []


def test_requests_of_our_own_may_fail(client: Client) -> None:
    """Nobody waits for ever."""
    client.host.handler = lambda request, seat: None

    assert client.seat.ask({"id": "own", "method": "m"}, 0.0) is None


class Pool:
    """Hermes' own pool, whose requests are answered by hand."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.running: list[Any] = []
        self.begun = threading.Semaphore(0)
        client.host.handler = self.dispatch

    def dispatch(self, request: Any, seat: HostSeat) -> dict[str, Any] | None:
        if self.client.host.is_pooled(request):
            self.running.append(request["id"])
            self.begun.release()
            return None
        return answer(request["id"])

    def ask(self, *methods: str) -> None:
        for number, method in enumerate(methods, 1):
            self.client.ask(number, {"id": number, "method": method})
        self.quiet()

    def finish(self, identity: Any) -> None:
        self.client.seat.write(answer(identity))
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
    client.outbox = Outbox(lambda: None, settle_count=1)
    client.seat = HostSeat(client.host, client.outbox)  # type: ignore[arg-type]
    pool = Pool(client)

    pool.ask("long.a", "long.b", "long.c", "short")

    assert client.outbox.take_settled()[0] == 2
    assert client.seat.owes


def test_a_failing_long_request_gives_its_place_back(client: Client) -> None:
    """A place in the pool is free again when its request is answered on the spot, or fails."""
    outcomes: list[Any] = [RuntimeError("x"), answer(2), RuntimeError("x"), answer(4), None]

    def handler(request: Any, seat: HostSeat) -> dict[str, Any] | None:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    client.host.handler = handler
    for number in range(1, 6):
        client.ask(number, {"id": number, "method": "long.x"})

    assert [tag for tag, _ in client.answers()] == [1, 2, 3, 4]
    assert outcomes == []


def test_one_id_for_all(client: Client) -> None:
    """A client that gives all its requests one id loses no place in the pool by it."""
    pool = Pool(client)
    opened = threading.Event()

    def dispatch(request: Any, seat: HostSeat) -> dict[str, Any] | None:
        if request["method"] == "block.respond":
            assert opened.wait(GUARD)
        return pool.dispatch(request, seat)

    client.host.handler = dispatch
    client.ask(1, {"id": "x", "method": "block.respond"}, urgent=True)
    client.ask(2, {"id": "x", "method": "long.a"})
    client.ask(3, {"id": "x", "method": "long.b"})
    client.ask(4, {"id": "x", "method": "long.c"})
    client.ask(5, {"id": "x", "method": "long.d"})
    for _ in range(2):
        assert pool.begun.acquire(timeout=GUARD)
    client.seat.write(answer("x"))
    client.seat.write(answer("x"))
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

    client.seat.detach()
    pool.quiet()

    assert pool.running == [1, 2]
    assert client.host.log[-1] == "released"


def test_detached_while_it_finds_the_pool_full(client: Client) -> None:
    """The same in the very moment in which the request finds no place."""
    pool = Pool(client)
    pool.ask("long.a", "long.b")
    is_pooled = client.host.is_pooled

    def detach_now(request: Any) -> bool:
        client.seat.detach()
        return is_pooled(request)

    client.host.is_pooled = detach_now  # type: ignore[method-assign]
    client.ask(3, {"id": 3, "method": "long.c"})
    pool.quiet()

    assert client.host.log[-1] == "released"
