"""One contract, two backends: Hermes in this process, Hermes in a worker; a stub plays Hermes."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

import pytest
import pytest_twisted
from twisted.internet import process
from twisted.internet import reactor as global_reactor
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.logger import formatEvent, globalLogPublisher

from hermes_twisted.access.keys import Key
from hermes_twisted.backends.inprocess import InProcessBackend
from hermes_twisted.backends.locate import Hermes, worker_environment
from hermes_twisted.backends.worker import WorkerBackend
from hermes_twisted.backends.worker_channel import LOST
from hermes_twisted.hermes.host import Host
from hermes_twisted.limits import Limits
from hermes_twisted.seats.attachment import Attachment
from hermes_twisted.seats.ports import Backend, BackendState
from hermes_twisted.seats.seat import Seat
from hermes_twisted.shared import tuning
from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.packets import HEADER, Op, pack
from hermes_twisted.shared.problem import Problem
from hermes_twisted.testing import Tally

reactor = cast("AsyncioSelectorReactor", global_reactor)

STUB = Path(__file__).parents[2] / "stub"
#: No test takes so long; one that hangs fails instead.
PATIENCE = 20.0
#: So few that a request which is not settled soon shows.
WAITING = 8
UMASK = 0o027

Json = dict[str, Any]


class Awaited:
    """Things that happen, each of which a test may wait for."""

    def __init__(self) -> None:
        self.seen: list[Any] = []
        self._waiting: list[tuple[Callable[[Any], bool], Deferred[Any]]] = []

    def happen(self, thing: Any) -> None:
        self.seen.append(thing)
        for wanted, deferred in list(self._waiting):
            if wanted(thing):
                self._waiting.remove((wanted, deferred))
                # Later: who waits would else go on in the middle of what made it happen.
                reactor.callLater(0, deferred.callback, thing)

    def first(self, wanted: Callable[[Any], bool], *, since: int = 0) -> Deferred[Any]:
        """The first one that is *wanted*, of those after *since* many, past or to come."""
        deferred: Deferred[Any] = Deferred()
        for thing in self.seen[since:]:
            if wanted(thing):
                deferred.callback(thing)
                return deferred
        self._waiting.append((wanted, deferred))
        return deferred.addTimeout(PATIENCE, reactor)


class Client:
    """A seat, and its link: what a client sends and sees."""

    def __init__(self, number: int, backend: Backend, limits: Limits) -> None:
        self.writable = True
        self.paused = False
        self.aborted = False
        self.frames = Awaited()
        self.texts: list[bytes] = []
        self._numbers = iter(range(1, 1_000_000))
        self.may_have_unread = False
        key = Key.of("laptop", "hat_0123456789abcdef")
        self.seat = Seat(number, key, limits, lambda wake: backend.open(number, wake))
        self._attachment = Attachment(self, peer="", source="", now=0.0)
        self.seat.attach(self._attachment)

    # What the seat calls: `Link`.

    def send(self, payloads: list[bytes]) -> None:
        for payload in payloads:
            self.texts.append(payload)
            self.frames.happen(json.loads(payload, parse_constant=_not_json))

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def close(self, code: int, reason: str) -> None:
        self.leave()

    def abort(self) -> None:
        self.aborted = True

    def ping(self) -> None:
        raise AssertionError("nobody pings here")

    # What a test calls.

    def request(self, method: str, **params: Any) -> int:
        """Send a request; returns its id."""
        number = next(self._numbers)
        self.say({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        return number

    def say(self, frame: Any) -> None:
        self.seat.received(json.dumps(frame).encode())

    def answer(self, identity: Any) -> Deferred[Json]:
        return self.frames.first(lambda frame: "id" in frame and frame["id"] == identity)

    def ask(self, method: str, **params: Any) -> Deferred[Json]:
        return self.answer(self.request(method, **params))

    def event(self, kind: str, *, since: int = 0) -> Deferred[Json]:
        return self.frames.first(lambda frame: event_type(frame) == kind, since=since)

    def leave(self) -> None:
        self.seat.detach(self._attachment)
        self.seat.close()


def _not_json(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def event_type(frame: Json) -> str | None:
    return frame["params"]["type"] if frame.get("method") == "event" else None


def dig(value: Any, *path: str) -> Any:
    for name in path:
        value = value[name]
    return value


class House:
    """A backend under test."""

    def __init__(self, backend: Backend, limits: Limits) -> None:
        self.backend = backend
        self.limits = limits
        self.meter = Tally()
        self.states = Awaited()
        self.clients: list[Client] = []

    def start(self) -> None:
        self.backend.start(lambda state, problem: self.states.happen((state, problem)), self.meter)

    async def ready(self) -> None:
        self.start()
        await self.state(BackendState.READY)

    async def state(self, state: BackendState, *, since: int = 0) -> Problem | None:
        """Waits for the first change to *state*; its problem."""
        found = await self.states.first(lambda change: change[0] is state, since=since)
        return cast("Problem | None", found[1])

    def client(self) -> Client:
        client = Client(len(self.clients) + 1, self.backend, self.limits)
        self.clients.append(client)
        return client

    async def stop(self) -> None:
        for client in self.clients:
            client.leave()
        await self.backend.stop().addTimeout(PATIENCE, reactor)


Build = Callable[..., House]


def python_that_finds(folder: Path, script: Path, *options: str) -> Path:
    """An interpreter that has *folder* on its path, as Hermes' has Hermes."""
    line = " ".join((f'PYTHONPATH="{folder}" exec "{sys.executable}"', *options, '"$@"'))
    script.write_text(f"#!/bin/sh\n{line}\n")
    script.chmod(0o755)
    return script


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / "home"
    folder.mkdir()
    return folder


@pytest.fixture
def shutdown_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the stub notes that its sessions were finalised."""
    mark = tmp_path / "shutdown"
    monkeypatch.setenv("STUB_SHUTDOWN_MARK", str(mark))
    return mark


@pytest.fixture
def build_worker(home: Path, tmp_path: Path, shutdown_mark: Path) -> Build:
    def build(
        folder: Path = STUB,
        limits: Limits | None = None,
        options: tuple[str, ...] = (),
        environ: dict[str, str] | None = None,
    ) -> House:
        limits = limits or Limits(max_waiting_requests=WAITING)
        python = python_that_finds(folder, tmp_path / "hermes-python", *options)
        environment = worker_environment({**os.environ, **(environ or {})}, home)
        backend = WorkerBackend(
            reactor, limits, lambda: Hermes(python, "a test"), environment, umask=UMASK
        )
        return House(backend, limits)

    return build


@pytest.fixture
def build_inprocess(home: Path, hermes_here: Callable[[Path], None], shutdown_mark: Path) -> Build:
    def build(folder: Path = STUB, limits: Limits | None = None) -> House:
        limits = limits or Limits(max_waiting_requests=WAITING)
        hermes_here(folder)
        return House(InProcessBackend(reactor, limits, home), limits)

    return build


@pytest.fixture(params=["inprocess", "worker"])
def build(request: pytest.FixtureRequest) -> Build:
    """Makes a backend of either kind, for the Hermes in a folder."""
    return cast("Build", request.getfixturevalue(f"build_{request.param}"))


@pytest_twisted.async_yield_fixture
async def house(build: Build) -> AsyncIterator[House]:
    """A backend of either kind that is ready."""
    house = build()
    await house.ready()
    yield house
    await house.stop()


@pytest_twisted.async_yield_fixture
async def worker(build_worker: Build) -> AsyncIterator[House]:
    """A worker backend that is ready."""
    house = build_worker()
    await house.ready()
    yield house
    await house.stop()


@pytest_twisted.async_yield_fixture
async def unready(build: Build) -> AsyncIterator[House]:
    """A backend of either kind that has not been started."""
    house = build()
    yield house
    await house.stop()


@pytest.fixture
def client(house: House) -> Client:
    return house.client()


def fake_hermes(folder: Path, server: str, **modules: str) -> Path:
    """A folder with a `tui_gateway` whose server is *server*, and other modules."""
    package = folder / "fake" / "tui_gateway"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "server.py").write_text(server)
    for name, text in modules.items():
        (package.parent / f"{name}.py").write_text(text)
    return package.parent


# Greeting, requests and answers.


@pytest_twisted.ensureDeferred
async def test_opened_by_the_listener(build: Build) -> None:
    """A seat that is opened as soon as the backend says it is ready is greeted once."""
    house = build()

    def listen(state: BackendState, problem: Problem | None) -> None:
        if state is BackendState.READY:
            house.client()
        house.states.happen((state, problem))

    house.backend.start(listen, house.meter)
    await house.state(BackendState.READY)
    await house.clients[0].ask("echo")
    await house.stop()

    kinds = [event_type(frame) for frame in house.clients[0].frames.seen]
    assert kinds.count("gateway.ready") == 1


@pytest_twisted.ensureDeferred
async def test_ready_first(client: Client) -> None:
    """The first frame of a seat is `gateway.ready` with Hermes' skin."""
    await client.ask("echo")

    assert client.frames.seen[0] == {
        "jsonrpc": "2.0",
        "method": "event",
        "params": {"type": "gateway.ready", "payload": {"skin": {"name": "stub", "colors": {}}}},
    }


@pytest_twisted.ensureDeferred
async def test_states(house: House) -> None:
    """A start is announced as starting, then ready, and what was found is known by then."""
    assert house.states.seen == [(BackendState.STARTING, None), (BackendState.READY, None)]
    assert house.backend.state is BackendState.READY
    assert house.backend.findings.methods > 10


@pytest_twisted.ensureDeferred
async def test_nothing_waits_when_ready(build: Build) -> None:
    """No timer of the start outlives it."""
    before = set(reactor.getDelayedCalls())
    house = build()

    await house.ready()

    left = [str(call) for call in reactor.getDelayedCalls() if call not in before]
    await house.stop()
    assert not left


@pytest_twisted.ensureDeferred
async def test_requests_before_the_start_are_held(unready: House) -> None:
    """Who comes while Hermes starts is greeted and answered, in order, when it is there."""
    client = unready.client()
    first, second = client.request("echo", a=1), client.request("echo", a=2)

    await unready.ready()

    assert (await client.answer(second))["result"] == {"a": 2}
    assert [frame.get("id") for frame in client.frames.seen] == [None, first, second]
    assert event_type(client.frames.seen[0]) == "gateway.ready"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("method", ["echo", "long.echo"])
async def test_answers(client: Client, method: str) -> None:
    """Hermes' answer is the client's, whether the handler answers at once or later."""
    params = {"text": "grüße \u2028 \U0001f600", "list": [1, 2.5, None, True], "empty": {}}

    answer = await client.ask(method, **params)

    assert answer == {"jsonrpc": "2.0", "id": 1, "result": params}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("identity", ["a", "\0", 7, 1.5, True, None, 10**18, [1, "x"]])
@pytest.mark.parametrize("method", ["echo", "long.echo"])
async def test_ids(client: Client, method: str, identity: Any) -> None:
    """An id comes back as it was, of whatever type it is."""
    client.say({"jsonrpc": "2.0", "id": identity, "method": method})

    answer = await client.answer(identity)

    assert answer["result"] == {}
    assert type(answer["id"]) is type(identity)


@pytest_twisted.ensureDeferred
async def test_order(client: Client) -> None:
    """What a session writes arrives in the order it was written, and all of it."""
    session = dig(await client.ask("session.create"), "result", "session_id")

    await client.ask("stream", session_id=session, count=3000)
    await client.event("message.complete")

    # Without answers: that of `stream` may come late, when its thread was not run meanwhile.
    kinds = [kind for frame in client.frames.seen if (kind := event_type(frame)) is not None]
    numbers = [
        frame["params"]["payload"]["n"]
        for frame in client.frames.seen
        if event_type(frame) == "message.delta"
    ]
    assert numbers == list(range(3000))
    assert kinds.index("message.start") < kinds.index("message.delta")
    assert kinds[-1] == "message.complete"


@pytest_twisted.ensureDeferred
async def test_answers_in_order(client: Client) -> None:
    """Handlers that answer at once are run and answered one after another."""
    ids = [client.request("echo", n=n) for n in range(WAITING)]
    await client.answer(ids[-1])

    assert [frame["id"] for frame in client.frames.seen if "id" in frame] == ids


@pytest_twisted.ensureDeferred
async def test_urgent_overtakes(client: Client) -> None:
    """The answer to a question gets through while a handler blocks."""
    blocked = client.request("block", name="gate")
    behind = client.request("echo")
    await client.event("stub.blocked")

    opened = client.request("open.respond", name="gate")
    await client.answer(behind)

    order = [frame["id"] for frame in client.frames.seen if "id" in frame]
    assert sorted(order) == [blocked, behind, opened]
    assert order.index(blocked) < order.index(behind)
    assert (await client.answer(blocked))["result"] == {"opened": True}
    assert (await client.answer(opened))["result"] == {"status": "ok"}


@pytest_twisted.ensureDeferred
async def test_seats_side_by_side(house: House) -> None:
    """A client whose handler blocks does not hold another one up."""
    one, other = house.client(), house.client()
    one.request("block", name="gate")
    await one.event("stub.blocked")

    assert (await other.ask("echo", a=1))["result"] == {"a": 1}

    await other.ask("open.respond", name="gate")
    await one.answer(1)
    assert not [frame for frame in other.frames.seen if event_type(frame) == "stub.blocked"]


# What is wrong with a request.

INVALID = -32600, "invalid request: expected an object"
NO_METHOD = -32600, "invalid request: method must be a non-empty string"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("text", "identity", "error"),
    [
        ("{", None, (-32700, "parse error")),
        ("nonsense", None, (-32700, "parse error")),
        ('{"id": 5, "method": "echo", "params": {"n": NaN}}', None, (-32700, "parse error")),
        ("[]", None, INVALID),
        ('[{"id": 5, "method": "echo"}]', None, INVALID),
        ('"echo"', None, INVALID),
        ("null", None, INVALID),
        ("5", None, INVALID),
        ('{"id": 5}', 5, NO_METHOD),
        ('{"id": 5, "method": ""}', 5, NO_METHOD),
        ('{"id": 5, "method": 7}', 5, NO_METHOD),
        ('{"id": 5, "method": null}', 5, NO_METHOD),
        (
            '{"id": 5, "method": "echo", "params": [1]}',
            5,
            (-32602, "invalid params: expected an object"),
        ),
        (
            '{"id": 5, "method": "echo", "params": "x"}',
            5,
            (-32602, "invalid params: expected an object"),
        ),
        ('{"id": 5, "method": "no.such"}', 5, (-32601, "unknown method: no.such")),
        (
            '{"id": 5, "method": "echo", "params": {"n": 1%s}}' % ("0" * 5000),
            None,
            (-32700, "parse error"),
        ),
        (
            '{"id": 5, "method": "echo", "params": {"n": %s}}' % ("[" * 100_000 + "]" * 100_000),
            None,
            (-32700, "parse error: more than 128 levels, or 262144 lists and objects"),
        ),
        ("[" * 100_000, None, None),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else None,
)
async def test_bad_requests(
    client: Client, text: str, identity: Any, error: tuple[int, str] | None
) -> None:
    """A request that is none is answered as upstream answers it, and the next one served."""
    client.seat.received(text.encode())

    answer = await client.answer(identity)

    if error is not None:
        code, message = error
        assert answer["error"] == {"code": code, "message": message}
    assert "result" not in answer
    assert (await client.ask("echo", a=1))["result"] == {"a": 1}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("method", ["raise", "exit"])
async def test_handler_fails(client: Client, method: str) -> None:
    """A handler that fails, or would exit, gets its request an error without its words."""
    answer = await client.ask(method)

    assert answer == {
        "jsonrpc": "2.0",
        "id": 1,
        "error": {"code": -32603, "message": "internal error"},
    }
    assert (await client.ask("echo"))["result"] == {}


@pytest_twisted.ensureDeferred
async def test_odd_values(client: Client) -> None:
    """What JSON or UTF-8 cannot hold is replaced: every client can read every answer."""
    result = (await client.ask("result.odd"))["result"]

    assert result["nan"] is None
    assert result["big"] == 10**30
    assert result["1"] == "one"
    assert isinstance(result["object"], str)
    assert client.texts[-1].isascii()


@pytest_twisted.ensureDeferred
async def test_circular(client: Client) -> None:
    """An answer that nests without end becomes an error with the request's id."""
    answer = await client.ask("result.circular")

    assert (answer["id"], answer["error"]["code"]) == (1, -32603)
    assert (await client.ask("echo"))["result"] == {}


@pytest_twisted.ensureDeferred
async def test_large_result(client: Client) -> None:
    """One large answer passes whole, though it is above the soft limit."""
    answer = await client.ask("result.of_size", bytes=20_000_000)

    assert len(answer["result"]["text"]) == 20_000_000
    assert not client.aborted


@pytest_twisted.ensureDeferred
async def test_large_request(client: Client) -> None:
    """A large request arrives whole."""
    answer = await client.ask("echo", text="ü" * 2_000_000)

    assert answer["result"]["text"] == "ü" * 2_000_000


@pytest_twisted.ensureDeferred
async def test_everything_settles(client: Client) -> None:
    """Requests that are done wait no more, however they ended: reading never stops for good."""
    for _ in range(2 * WAITING):
        for method in ("echo", "long.echo", "raise", "exit", "no.such", "result.circular"):
            await client.ask(method)
        await client.ask("open.respond", name="gate")
    client.say({"jsonrpc": "2.0", "id": 1, "result": {}})
    for _ in range(WAITING - 1):
        client.request("echo")
    await client.ask("echo")

    assert not client.paused


@pytest_twisted.ensureDeferred
async def test_waiting_requests_pause(client: Client) -> None:
    """A client with as many requests waiting as it may have is not read until some are done."""
    client.request("block", name="gate")
    await client.event("stub.blocked")
    for _ in range(WAITING):
        last = client.request("echo")
    assert client.paused

    client.request("open.respond", name="gate")
    await client.answer(last)

    assert not client.paused


# The end of a seat, and of everything.


@pytest_twisted.ensureDeferred
async def test_detach_inprocess(build_inprocess: Build) -> None:
    """A session of a client that has gone is given Hermes' detached transport."""
    house = build_inprocess()
    await house.ready()
    client = house.client()
    session = dig(await client.ask("session.create"), "result", "session_id")
    server = sys.modules["tui_gateway.server"]
    held = server._sessions[session]["transport"]

    client.leave()
    finished = await house.backend.drain(PATIENCE)

    transport = server._sessions[session]["transport"]
    await house.stop()
    assert finished
    assert transport is server._detached_ws_transport
    assert held.write({"jsonrpc": "2.0", "method": "event", "params": {}}) is False


@pytest_twisted.ensureDeferred
async def test_detach_worker(worker: House) -> None:
    """A session of a client that has gone is given Hermes' detached transport."""
    gone, other = worker.client(), worker.client()
    session = dig(await gone.ask("session.create"), "result", "session_id")

    gone.leave()
    assert await worker.backend.drain(PATIENCE)

    where = await other.ask("session.where", session_id=session)
    assert where["result"] == {"detached": True}


@pytest_twisted.ensureDeferred
async def test_close_behind_a_running_request(house: House) -> None:
    """A session that a request makes while its client leaves is detached as well."""
    leaving, other = house.client(), house.client()
    leaving.request("block", name="gate")
    leaving.request("session.create")
    await leaving.event("stub.blocked")

    leaving.leave()
    await other.ask("open.respond", name="gate")

    assert await house.backend.drain(PATIENCE)
    sessions = await other.ask("session.list")
    assert sessions["result"] == {"sessions": []}  # What had not begun was forgotten.


@pytest_twisted.ensureDeferred
async def test_drain(house: House) -> None:
    """A drain is true when nothing runs any more, false when the time is up."""
    client = house.client()
    assert await house.backend.drain(PATIENCE) is True
    client.request("block", name="gate")
    await client.event("stub.blocked")

    assert await house.backend.drain(0.05) is False

    draining = house.backend.drain(PATIENCE)
    client.request("open.respond", name="gate")
    assert await draining is True


@pytest_twisted.ensureDeferred
async def test_drain_of_a_stalled_worker(worker: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not say that the time is up, nor anything else: the front looks at its own clock."""
    monkeypatch.setattr("hermes_twisted.backends.worker.DRAIN_MARGIN", 0.05)
    client = worker.client()
    pid = (await client.ask("environment"))["result"]["pid"]

    os.kill(pid, signal.SIGSTOP)
    finished = await worker.backend.drain(0.05)
    os.kill(pid, signal.SIGCONT)

    assert finished is False


@pytest_twisted.ensureDeferred
async def test_drain_for_as_long_as_can_be_said(worker: House) -> None:
    """A year is more than a packet holds; it is not an error."""
    assert await worker.backend.drain(366 * 86400.0) is True


@pytest_twisted.ensureDeferred
async def test_worker_that_ends_at_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So soon that it is reaped in the middle of being started: one more death, no failure."""
    register = process.registerReapProcessHandler

    def when_it_has_ended(pid: int, transport: Any) -> None:
        os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
        register(pid, transport)

    monkeypatch.setattr(process, "registerReapProcessHandler", when_it_has_ended)
    false = Hermes(Path("/bin/false"), "a test")
    limits = Limits()
    house = House(WorkerBackend(reactor, limits, lambda: false, {}, umask=UMASK), limits)
    house.start()

    _state, problem = await house.states.first(lambda change: change[0] is BackendState.RESTARTING)

    await house.stop()
    assert re.search(r"\(pid \d+\) ended with status 1", problem.what)


ANOTHER_VERSION = """#!{python}
import os
body = b'{{"version": "1"}}'
os.write(3, {header!r} + body)
while os.read(3, 65536):
    pass
"""


@pytest_twisted.ensureDeferred
async def test_worker_of_another_version(
    home: Path, tmp_path: Path, log: list[dict[str, Any]]
) -> None:
    """A report with other fields ends the worker; the log names the field."""
    script = tmp_path / "other"
    header = pack(Op.READY, body=b'{"version": "1"}')[: HEADER.size]
    script.write_text(ANOTHER_VERSION.format(python=sys.executable, header=header))
    script.chmod(0o755)
    limits = Limits()
    hermes = Hermes(script, "a test")
    house = House(WorkerBackend(reactor, limits, lambda: hermes, {}, umask=UMASK), limits)
    house.start()

    _state, problem = await house.states.first(lambda change: change[0] is BackendState.RESTARTING)

    await house.stop()
    assert "ended with status 0" in problem.what
    [bad] = [str(event["bad"]) for event in log if "bad" in event]
    assert re.fullmatch(r"Findings\.\w+ is missing", bad)
    assert house.backend.findings is None


@pytest_twisted.ensureDeferred
async def test_stop_finalises(build: Build, shutdown_mark: Path) -> None:
    """A stop lets Hermes finalise its sessions, and is over when that is done."""
    house = build()
    await house.ready()
    session = dig(await house.client().ask("session.create"), "result", "session_id")

    await house.stop()

    assert shutdown_mark.read_text() == session
    assert house.backend.state is BackendState.STOPPED


@pytest_twisted.ensureDeferred
async def test_stop_with_a_blocked_handler(build: Build, shutdown_mark: Path) -> None:
    """A handler that never ends does not keep a stop from ending."""
    house = build()
    await house.ready()
    client = house.client()
    client.request("block", name="gate")
    await client.event("stub.blocked")

    await house.stop()

    assert shutdown_mark.exists()
    assert house.backend.state is BackendState.STOPPED


@pytest_twisted.ensureDeferred
async def test_stop_does_not_wait_for_ever(
    build: Build, shutdown_mark: Path, log: list[Any]
) -> None:
    """Hermes has `shutdown_timeout` to finalise its sessions; the log says if that is over."""
    os.mkfifo(shutdown_mark)  # The stub waits for a reader, and there is none.
    house = build(limits=Limits(shutdown_timeout=0.05))
    await house.ready()

    await house.stop()

    assert house.backend.state is BackendState.STOPPED
    told = [formatEvent(event) for event in log]
    assert any("sessions were not finalised within 0.05 s" in text for text in told)


@pytest_twisted.ensureDeferred
async def test_a_worker_that_does_not_get_ready(home: Path, tmp_path: Path) -> None:
    """A worker that has not loaded Hermes after `start_timeout` is ended, and started again."""
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    limits = Limits(start_timeout=0.05)
    backend = WorkerBackend(reactor, limits, lambda: Hermes(python, "a test"), {})
    house = House(backend, limits)
    house.start()

    problem = await house.state(BackendState.RESTARTING)

    assert problem is not None
    assert "was killed by SIGTERM" in problem.what
    await house.stop()


@pytest_twisted.ensureDeferred
async def test_stop_while_starting(build: Build) -> None:
    """A stop during the start waits for it, and starts nothing after it."""
    house = build()
    house.start()

    await house.stop()

    assert house.backend.state is BackendState.STOPPED


@pytest_twisted.ensureDeferred
async def test_stop_unstarted(build: Build) -> None:
    """What was never started is stopped at once."""
    house = build()

    await house.stop()

    assert house.backend.state is BackendState.STOPPED


# A Hermes that cannot be served.


async def broken_with(house: House) -> tuple[Problem, Json]:
    """Start; the problem, and the answer to a request that was held for it."""
    client = house.client()
    held = client.request("echo")
    house.start()
    problem = await house.state(BackendState.BROKEN)
    assert problem is not None
    answer = await client.answer(held)
    later = await client.ask("echo")
    assert later["error"] == answer["error"]
    assert not client.paused
    await house.stop()
    return problem, answer


@pytest_twisted.ensureDeferred
async def test_no_hermes(build: Build, tmp_path: Path) -> None:
    """Without a Hermes what was held is answered with what is wrong and what to do."""
    problem, answer = await broken_with(build(tmp_path))

    assert "No Hermes with a terminal gateway (tui_gateway)" in problem.what
    assert "--hermes-python" in problem.advice
    assert answer["error"] == {"code": -32000, "message": str(problem)}


@pytest_twisted.ensureDeferred
async def test_load_fails_in_a_way_that_nobody_foresaw(
    home: Path, forgiven: list[type[BaseException]], log: list[dict[str, Any]]
) -> None:
    """Nobody is left waiting without a word: what it was is said, and its text logged only."""
    forgiven.append(MemoryError)

    def load(lanes: LanePool) -> Host:
        raise MemoryError("a secret")

    limits = Limits()
    backend = InProcessBackend(reactor, limits, home, load)
    problem, answer = await broken_with(House(backend, limits))

    assert problem.what == "Loading Hermes failed with MemoryError."
    assert "The log has the traceback" in problem.advice
    assert answer["error"]["message"] == str(problem)
    assert "secret" not in str(problem)
    assert [event for event in log if "log_failure" in event]


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("own", [False, True])
async def test_the_process_is_tuned_if_it_is_ours(
    home: Path,
    hermes_here: Callable[[Path], None],
    shutdown_mark: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: bool,
) -> None:
    """Threads switch sooner, and imports are spared the collector; a gateway stays as it was."""
    hermes_here(STUB)
    tuned: list[str] = []
    for name in ("switch_often", "freeze"):
        monkeypatch.setattr(tuning, name, lambda name=name: tuned.append(name))
    limits = Limits()
    house = House(InProcessBackend(reactor, limits, home, own_process=own), limits)

    await house.ready()
    await house.stop()

    assert tuned == (["switch_often", "freeze"] if own else [])


@pytest_twisted.ensureDeferred
async def test_hermes_not_found() -> None:
    """When no interpreter is found, nothing is spawned and the advice is the locator's."""

    def locate() -> Hermes:
        raise Problem("Hermes was not found.", "Install it.")

    limits = Limits()
    problem, answer = await broken_with(House(WorkerBackend(reactor, limits, locate, {}), limits))

    assert problem == Problem("Hermes was not found.", "Install it.")
    assert answer["error"]["message"] == "Hermes was not found. Install it."


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("server", "words"),
    [
        ("raise RuntimeError('a secret')", "its import failed with RuntimeError"),
        ("import no_such_module_of_hermes", "it lacks the module no_such_module_of_hermes"),
        ("import sys; sys.exit(3)", "SystemExit"),
        ("", "no dispatch, resolve_skin, _sessions, _methods, _stdio_transport"),
        (
            "def dispatch(req): pass\nresolve_skin = _stdio_transport = None\n"
            "_sessions = _methods = {}",
            "no dispatch(req, transport)",
        ),
        (
            "def dispatch(req, transport=None): pass\n_stdio_transport = None\n"
            "_sessions = _methods = {}",
            "no resolve_skin",
        ),
    ],
    ids=["raises", "lacks a module", "exits", "empty", "old dispatch", "one hook"],
)
async def test_broken_hermes(build: Build, tmp_path: Path, server: str, words: str) -> None:
    """A Hermes that does not load, or lacks a hook, is refused with the reason's name."""
    problem, answer = await broken_with(build(fake_hermes(tmp_path, server)))

    assert words in problem.what
    assert "secret" not in json.dumps(answer)


YAML = """
class Mark:
    line = 2

class Wrong(Exception):
    problem_mark = Mark

def safe_load(text):
    raise Wrong
"""


@pytest_twisted.ensureDeferred
async def test_broken_config(build: Build, tmp_path: Path, home: Path) -> None:
    """A config.yaml that Hermes would take for an empty one is refused by file and line."""
    (home / "config.yaml").write_text("a: 1\nb: 2\n: [\n")

    problem, _answer = await broken_with(build(fake_hermes(tmp_path, "", yaml=YAML)))

    assert f"{home / 'config.yaml'} is not valid YAML, line 3" in problem.what


# The worker's process.


@pytest.fixture
def output(log: list[Any]) -> Any:
    """The lines that a worker has printed, as they were logged."""
    lines = Awaited()

    def observe(event: Any) -> None:
        if event["log_namespace"] == "hermes_twisted.worker":
            lines.happen(event["text"])

    globalLogPublisher.addObserver(observe)
    yield lines
    globalLogPublisher.removeObserver(observe)


async def settled(condition: Callable[[], bool]) -> None:
    """Waits for what the operating system says only to those who look."""
    end = reactor.seconds() + PATIENCE
    while not condition() and reactor.seconds() < end:
        await deferLater(reactor, 0.01, lambda: None)
    assert condition()


@pytest_twisted.ensureDeferred
async def test_worker_environment(build_worker: Build, home: Path) -> None:
    """The worker sees nothing of ours in its environment, and Hermes' home and umask."""
    ours = {
        "HERMES_ATTACH_KEY": "a secret",
        "HERMES_ATTACH_PORT": "1",
        "HERMES_TUI_GATEWAY_URL": "ws://h/api/ws?token=secret",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "1",
        "LISTEN_PID": "1",
        "LISTEN_FDNAMES": "a",
        "INVOCATION_ID": "a",
        "JOURNAL_STREAM": "8:1",
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "PYTHONSTARTUP": "/startup.py",
        "PYTHONHOME": "/nowhere",
    }
    house = build_worker(environ={**ours, "PROVIDER_KEY": "theirs"})
    await house.ready()

    seen = (await house.client().ask("environment"))["result"]

    await house.stop()
    assert not ours.keys() & seen["environ"].keys()
    assert "secret" not in json.dumps(seen)
    assert seen["environ"]["PROVIDER_KEY"] == "theirs"
    assert seen["environ"]["HERMES_HOME"] == str(home)
    assert seen["umask"] == UMASK
    assert seen["stdout_is_ours"] is False


@pytest_twisted.ensureDeferred
async def test_worker_path(build_worker: Build) -> None:
    """Nothing of ours is on Hermes' path, where it could shadow a module of Hermes."""
    house = build_worker(options=("-S",))  # Else an editable installation of ours is found.
    await house.ready()

    seen = (await house.client().ask("environment"))["result"]

    await house.stop()
    assert not [entry for entry in seen["path"] if (Path(entry) / "hermes_twisted").exists()]
    assert not [entry for entry in seen["path"] if (Path(entry) / "seat.py").exists()]
    assert not {"host", "worker", "seat", "pump", "encode", "boot"} & set(seen["modules"])


@pytest_twisted.ensureDeferred
async def test_worker_prints(worker: House, output: Awaited) -> None:
    """What Hermes prints goes to the log, and never between the frames."""
    client = worker.client()

    await client.ask("print", text='{"jsonrpc": "2.0", "method": "event"}\nsecond')

    await output.first(lambda text: text == "second")
    assert '{"jsonrpc": "2.0", "method": "event"}' in output.seen
    assert (await client.ask("echo", a=1))["result"] == {"a": 1}
    assert len(client.frames.seen) == 3  # The greeting and two answers.


@pytest_twisted.ensureDeferred
async def test_late_events(worker: House, output: Awaited) -> None:
    """An event of a session that nobody is attached to is printed nowhere."""
    client = worker.client()

    await client.ask("late.event")
    await client.ask("print", text="the last line")

    await output.first(lambda text: text == "the last line")
    assert not [text for text in output.seen if "LEAKED" in text or "secret" in text]


@pytest_twisted.ensureDeferred
async def test_worker_dies(worker: House) -> None:
    """A killed worker's requests are answered, it is started again, and clients go on."""
    client, other = worker.client(), worker.client()
    await other.ask("echo")
    blocked = other.request("block", name="gate")
    await other.event("stub.blocked")
    seen = len(client.frames.seen)

    died = client.request("die")
    lost = await client.answer(died)
    problem = await worker.state(BackendState.RESTARTING)
    assert worker.backend.state is BackendState.RESTARTING
    held = client.request("echo", held=True)
    await worker.state(BackendState.READY, since=3)

    assert lost["error"] == {"code": -32000, "message": LOST}
    assert (await other.answer(blocked))["error"]["message"] == LOST
    assert problem is not None
    assert "was killed by SIGKILL" in problem.what
    assert (await client.answer(held))["result"] == {"held": True}
    kinds = [event_type(frame) for frame in client.frames.seen]
    assert kinds.index("gateway.ready", seen) < client.frames.seen.index(await client.answer(held))
    assert (await other.ask("echo", a=1))["result"] == {"a": 1}
    states = [state for state, _problem in worker.states.seen]
    assert states == [
        BackendState.STARTING,
        BackendState.READY,
        BackendState.RESTARTING,
        BackendState.READY,
    ]


@pytest_twisted.ensureDeferred
async def test_deaths_settle(worker: House) -> None:
    """What died with a worker waits no more."""
    client = worker.client()
    client.request("block", name="gate")
    await client.event("stub.blocked")
    for _ in range(WAITING):
        last = client.request("echo")
    assert client.paused

    worker_pid = worker.backend._process.pid
    os.kill(worker_pid, 9)
    await client.answer(last)

    assert not client.paused
    assert (await client.ask("echo", a=1))["result"] == {"a": 1}


async def kill(house: House) -> None:
    """Kill the worker, and wait for the next one."""
    seen = len(house.states.seen)
    os.kill(house.backend._process.pid, 9)  # type: ignore[attr-defined]
    await house.state(BackendState.READY, since=seen)


def kinds(client: Client, since: int) -> list[str | None]:
    return [event_type(frame) for frame in client.frames.seen[since:] if "method" in frame]


@pytest_twisted.ensureDeferred
async def test_sessions_come_back(worker: House) -> None:
    """Under the live id that the client knows; the turn that died is ended; no new start."""
    client = worker.client()
    session = dig(await client.ask("session.create", cols=99), "result", "session_id")
    client.request("stream", session_id=session, count=1000, rate=50)
    await client.event("message.delta")
    await kill(worker)

    complete = await client.event("message.complete")
    seen = len(client.frames.seen)
    answer = await client.ask("stream", session_id=session, count=1)
    await client.event("message.complete", since=seen)

    assert complete["params"] == {
        "type": "message.complete",
        "session_id": session,
        "payload": {"status": "interrupted"},
    }
    assert answer["result"] == {"status": "streaming"}
    new = kinds(client, seen)
    assert new == ["message.start", "message.delta", "message.complete"]
    events = [frame["params"] for frame in client.frames.seen[seen:] if "method" in frame]
    assert {params["session_id"] for params in events} == {session}
    assert kinds(client, 0).count("gateway.ready") == 1
    infos = [frame for frame in client.frames.seen if event_type(frame) == "session.info"]
    assert [info["params"]["payload"]["cols"] for info in infos] == [99]


@pytest_twisted.ensureDeferred
async def test_sessions_come_back_again(worker: House) -> None:
    """And again: each time under the first id, without a turn that had ended before."""
    client = worker.client()
    session = dig(await client.ask("session.create"), "result", "session_id")
    await client.ask("stream", session_id=session)
    await client.event("message.complete")
    for _ in range(2):
        seen = len(client.frames.seen)
        await kill(worker)
        await client.event("browser.progress", since=seen)

        assert "message.complete" not in kinds(client, seen)
        seen = len(client.frames.seen)
        assert (await client.ask("stream", session_id=session))["result"]
        await client.event("message.complete", since=seen)


@pytest_twisted.ensureDeferred
async def test_sessions_in_which_nothing_was_said(worker: House) -> None:
    """Are not stored, so they are made anew, under the same id."""
    client = worker.client()
    session = dig(await client.ask("session.create"), "result", "session_id")
    await kill(worker)

    assert (await client.ask("stream", session_id=session))["result"]
    await client.event("message.complete")
    assert kinds(client, 0).count("gateway.ready") == 1


@pytest_twisted.ensureDeferred
async def test_sessions_that_cannot_come_back(worker: House, home: Path) -> None:
    """The client starts over, as stock UIs do at `gateway.ready`."""
    client = worker.client()
    session = dig(await client.ask("session.create"), "result", "session_id")
    await client.ask("stream", session_id=session)
    await client.event("message.complete")
    (home / "broken").touch()
    seen = len(client.frames.seen)

    await kill(worker)

    await client.event("gateway.ready", since=seen)


@pytest_twisted.ensureDeferred
async def test_clients_without_sessions_start_over(worker: House) -> None:
    """There is nothing to come back to."""
    client = worker.client()
    await client.ask("echo")
    seen = len(client.frames.seen)

    await kill(worker)

    await client.event("gateway.ready", since=seen)


@pytest_twisted.ensureDeferred
async def test_sessions_of_others_stay_theirs(worker: House) -> None:
    """Each client gets its own back."""
    clients = [worker.client(), worker.client()]
    sessions = []
    for client in clients:
        sessions.append(dig(await client.ask("session.create"), "result", "session_id"))
        await client.ask("stream", session_id=sessions[-1])
        await client.event("message.complete")
    await kill(worker)

    for client, session in zip(clients, sessions, strict=True):
        seen = len(client.frames.seen)
        await client.ask("stream", session_id=session)
        complete = await client.event("message.complete", since=seen)
        assert complete["params"]["session_id"] == session


@pytest_twisted.ensureDeferred
async def test_overflow_when_the_worker_dies(build_worker: Build) -> None:
    """A client that overflows with a dead worker's errors does not keep it from being restarted."""
    house = build_worker(limits=Limits(max_queued_soft=2000, max_queued_hard=2000, max_unread=100))
    await house.ready()
    slow = house.client()
    await slow.event("gateway.ready")
    slow.writable = False
    slow.request("block", name="gate")
    for _ in range(20):
        slow.request("echo")
    await settled(lambda: slow.seat._channel.outbox.size > 100)
    slow.request("echo")  # Held, because what waits is not read.

    os.kill(house.backend._process.pid, 9)

    await house.state(BackendState.RESTARTING)
    await house.state(BackendState.READY, since=3)
    await house.stop()


@pytest_twisted.ensureDeferred
async def test_slow_client_does_not_hold_others(worker: House) -> None:
    """A client that does not read keeps its own frames back, not those of others."""
    slow, other = worker.client(), worker.client()
    session = dig(await slow.ask("session.create"), "result", "session_id")
    await slow.ask("stream", session_id=session, count=10)
    slow.writable = False
    slow.request("result.of_size", bytes=3_000_000)

    assert (await other.ask("echo", a=1))["result"] == {"a": 1}
    large = await other.ask("result.of_size", bytes=3_000_000)
    assert len(large["result"]["text"]) == 3_000_000

    slow.writable = True
    slow.seat.flush()
    assert len((await slow.answer(3))["result"]["text"]) == 3_000_000


@pytest_twisted.ensureDeferred
async def test_worker_overflow(build_worker: Build) -> None:
    """A client above the hard limit is dropped, and only that one."""
    house = build_worker(
        limits=Limits(max_queued_soft=100_000, max_queued_hard=200_000, credit_window=50_000)
    )
    await house.ready()
    slow, other = house.client(), house.client()
    await slow.event("gateway.ready")
    slow.writable = False
    for _ in range(8):
        slow.request("result.of_size", bytes=100_000)

    await other.ask("echo")
    await settled(lambda: slow.aborted)

    assert (await other.ask("echo", a=1))["result"] == {"a": 1}
    await house.stop()


@pytest_twisted.ensureDeferred
async def test_overflow_of_all_together(build: Build) -> None:
    """When all clients together have too much waiting, those with the most are dropped."""
    limits = Limits(max_queued_total=400_000, credit_window=50_000, max_unread=10_000_000)
    house = build(limits=limits)
    await house.ready()
    other, *slow = [house.client() for _ in range(4)]
    for client in slow:
        await client.event("gateway.ready")
        client.writable = False
    # Some of it waits in the worker, some here; either sum may strike.
    for client in slow:
        for _ in range(7):
            client.request("result.of_size", bytes=120_000)

    await settled(lambda: any(client.aborted for client in slow))
    for _ in range(3):
        assert len((await other.ask("result.of_size", bytes=120_000))["result"]["text"]) == 120_000

    assert not other.aborted
    await house.stop()


@pytest_twisted.ensureDeferred
async def test_share_of_hermes_pool(house: House) -> None:
    """One client's long requests leave three quarters of Hermes' threads to the others."""
    greedy, other = house.client(), house.client()
    share = house.backend.findings.pool // 4
    asked = [greedy.request("long.block", name=f"gate{number}") for number in range(4 * share + 2)]
    behind = greedy.request("echo")
    for number in range(share):
        await greedy.frames.first(lambda frame, name=f"gate{number}": blocked_at(frame) == name)

    assert (await other.ask("long.echo", a=1))["result"] == {"a": 1}
    assert (await greedy.ask("session.interrupt"))["result"] == {"status": "interrupted"}
    names = {name for name in map(blocked_at, greedy.frames.seen) if name}
    assert names == {f"gate{number}" for number in range(share)}
    assert not any(frame.get("id") == behind for frame in greedy.frames.seen)

    for number in range(len(asked)):
        await greedy.ask("open.respond", name=f"gate{number}")
    for identity in asked:
        assert (await greedy.answer(identity))["result"] == {"opened": True}
    await greedy.answer(behind)


def blocked_at(frame: Json) -> str | None:
    """The gate that a handler of the stub waits at."""
    if event_type(frame) != "stub.blocked":
        return None
    return cast("str", frame["params"]["payload"]["name"])


@pytest_twisted.ensureDeferred
async def test_nothing_left_after_stop(build_worker: Build) -> None:
    """After a stop the process is gone, and every descriptor that led to it."""

    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    async def live() -> int:
        house = build_worker()
        await house.ready()
        seen = (await house.client().ask("environment"))["result"]
        await house.stop()
        return int(seen["pid"])

    await live()  # The first one makes the reactor's own.
    before = descriptors()

    pid = await live()

    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    await settled(lambda: descriptors() == before)


@pytest_twisted.ensureDeferred
async def test_answers_are_timed(house: House) -> None:
    """Every request that is answered is measured once, by its group and whether it failed."""
    tally = house.meter
    client = house.client()
    session = (await client.ask("session.create"))["result"]["session_id"]
    await client.ask("no.such.method")
    await client.ask("gateway.ping")
    await client.ask("echo")
    await client.ask("stream", session_id=session, count=3)
    await client.event("message.complete")

    timed = [labels for name, _seconds, labels in tally.observed if name == "rpc"]
    assert timed == [("session", "ok"), ("other", "error"), ("other", "ok"), ("other", "ok")]
    assert all(0 <= seconds < PATIENCE for _name, seconds, _labels in tally.observed)
    assert client.seat.events == sum("method" in json.loads(text) for text in client.texts)


@pytest_twisted.ensureDeferred
async def test_lost_requests_are_counted(worker: House) -> None:
    """A request that died with its worker is not a quick answer."""
    tally = worker.meter
    client = worker.client()
    await client.event("gateway.ready")

    await client.ask("die")

    timed = [labels for name, _seconds, labels in tally.observed if name == "rpc"]
    assert timed == [("other", "lost")]
