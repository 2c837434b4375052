from __future__ import annotations

import dataclasses
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hermes_twisted.hermes import host as module
from hermes_twisted.hermes.host import SLOW_CLIENT_NOTICE, Host, explain_shedding
from hermes_twisted.hermes.loading import look
from hermes_twisted.hermes.seat import HostSeat
from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.outbox import EVENT, Outbox
from hermes_twisted.shared.settlements import Settlements

GUARD = 60.0
EVERYTHING = 2**40

#: What each generation of Hermes offers its transports (hermes-contract, section 4).
OLD = ()
HERMES_0_16 = ("_schedule_ws_orphan_reap", "_shutdown_sessions")
HERMES_0_17 = ("_close_sessions_for_transport", *HERMES_0_16)
HEAD = (
    "register_live_transport",
    "unregister_live_transport",
    "_ensure_skin_watcher",
    "_start_backend_heartbeat_refresher",
    "_schedule_startup_orphan_sweep",
    *HERMES_0_17,
)

MakeServer = Callable[..., ModuleType]
MakeHost = Callable[..., Host]


@pytest.fixture
def make_host(make_server: MakeServer, pool: LanePool, no_hermes: None) -> MakeHost:
    """A host of a Hermes that has just these hooks."""

    def make(*names: str) -> Host:
        server = make_server(*names)
        return Host(server, look(server), pool)

    return make


def open_seat(host: Host) -> tuple[HostSeat, Outbox]:
    """A seat that has been greeted, and what it was sent."""
    outbox = Outbox(lambda: None)
    seat = host.open(outbox, Settlements(lambda: None))
    assert host.lanes.wait_quiet(GUARD)
    return seat, outbox


def sent(outbox: Outbox) -> list[Any]:
    return [json.loads(text) for _kind, _tag, text in outbox.take(EVERYTHING)]


def detach(host: Host, seat: HostSeat) -> None:
    host.close(seat)
    assert host.lanes.wait_quiet(GUARD)


def test_ready(make_host: MakeHost) -> None:
    """The first frame of a client is `gateway.ready` with Hermes' skin, as an event."""
    _seat, outbox = open_seat(make_host())

    [(kind, tag, text)] = outbox.take(EVERYTHING)
    assert (kind, tag) == (EVENT, 0)
    assert json.loads(text) == {
        "jsonrpc": "2.0",
        "method": "event",
        "params": {"type": "gateway.ready", "payload": {"skin": {"name": "fake"}}},
    }


def test_ready_without_a_skin(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """A skin that cannot be computed does not keep the client out."""
    host = make_host()

    def fail() -> None:
        raise RuntimeError("bad skin")

    host.server.resolve_skin = fail  # type: ignore[attr-defined]
    _seat, outbox = open_seat(host)

    assert sent(outbox)[0]["params"]["payload"] == {"skin": {}}
    assert "resolve_skin failed" in caplog.text


def test_dispatch(make_host: MakeHost) -> None:
    """A request goes to Hermes with the seat as its transport."""
    host = make_host()
    seen: list[Any] = []

    def dispatch(request: Any, transport: Any = None) -> None:
        seen.append((request, transport))

    host.server.dispatch = dispatch  # type: ignore[attr-defined]
    seat, _outbox = open_seat(host)

    assert host.dispatch({"id": 1}, seat.transport) is None
    assert seen == [({"id": 1}, seat.transport)]


@pytest.mark.parametrize("names", [OLD, HERMES_0_16, HERMES_0_17])
def test_greeting_of_releases(make_host: MakeHost, hooks: Any, names: tuple[str, ...]) -> None:
    """A release that has no hooks for a new client is asked for nothing."""
    open_seat(make_host(*names))

    assert hooks.calls == []


def test_greeting_of_head(make_host: MakeHost, hooks: Any) -> None:
    """HEAD learns of every client, after its ready frame, and starts its helpers once."""
    host = make_host(*HEAD)
    first, outbox = open_seat(host)
    ready_before_hooks: list[int] = []

    assert hooks.calls == [
        ("register_live_transport", first.transport),
        ("_ensure_skin_watcher",),
        ("_start_backend_heartbeat_refresher",),
        ("_schedule_startup_orphan_sweep",),
    ]
    assert len(sent(outbox)) == 1
    hooks.calls.clear()

    late = Outbox(lambda: None)
    host.server.register_live_transport = (  # type: ignore[attr-defined]
        lambda seat: ready_before_hooks.append(len(late.take(EVERYTHING)))
    )
    host.open(late, Settlements(lambda: None))
    assert host.lanes.wait_quiet(GUARD)

    assert ready_before_hooks == [1]
    assert hooks.calls == []


def exchange(host: Host, seat: HostSeat, outbox: Outbox, method: str, **params: Any) -> list[Any]:
    """What a client gets for one request."""
    outbox.take(EVERYTHING)
    ask(host, seat, method, **params)
    return sent(outbox)


@pytest.mark.parametrize(
    ("method", "answer"),
    [("pet.cells", {"enabled": False}), ("session.active_list", {"sessions": []})],
)
def test_quiet_answers(make_host: MakeHost, method: str, answer: Any) -> None:
    """What newer UIs poll and this release does not know is answered in its place."""
    host = make_host()
    seat, outbox = open_seat(host)

    assert exchange(host, seat, outbox, method)[0]["result"] == answer

    # Hermes itself answers what it knows; the fake's dispatcher echoes.
    known = Host(host.server, dataclasses.replace(host.findings, answered_here=()), host.lanes)
    seat, outbox = open_seat(known)
    assert exchange(known, seat, outbox, method, x=1)[0]["result"] == {"x": 1}


def test_question_follows_the_answer(make_host: MakeHost) -> None:
    """Who takes a session over is asked again what its turn waits for, behind the answer."""
    host = make_host()
    host.server._sessions["s"] = {"session_key": "s"}
    host.server._pending = {"r1": object()}  # type: ignore[attr-defined]
    first, _outbox = open_seat(host)
    payload = {"request_id": "r1"}
    params = {"type": "clarify.request", "session_id": "s", "payload": payload}
    question = {"jsonrpc": "2.0", "method": "event", "params": params}
    first.transport.write(question)
    seat, outbox = open_seat(host)

    got = exchange(host, seat, outbox, "session.activate", session_id="s")

    assert [frame.get("id") for frame in got] == ["session.activate", None]
    assert got[1] == question
    # Each answer is followed once, and others by nothing.
    assert len(exchange(host, seat, outbox, "session.title", session_id="s")) == 1


def test_question_follows_an_answer_that_comes_later(make_host: MakeHost) -> None:
    """The same for a long handler, whose answer is written from another thread."""
    host = make_host()
    host.server._sessions["s"] = {"session_key": "s"}
    host.server._pending = {"r1": object()}  # type: ignore[attr-defined]
    host.server.dispatch = lambda req, transport=None: None  # type: ignore[attr-defined]
    seat, outbox = open_seat(host)
    params = {"type": "x.request", "session_id": "s", "payload": {"request_id": "r1"}}
    seat.transport.write({"jsonrpc": "2.0", "method": "event", "params": params})
    assert exchange(host, seat, outbox, "session.resume", session_id="s") == []

    seat.transport.write({"jsonrpc": "2.0", "id": "session.resume", "result": {"session_id": "s"}})

    assert [frame.get("id") for frame in sent(outbox)] == ["session.resume", None]


@pytest.mark.parametrize("hands_over", [True, False])
def test_transport_of_detached_sessions(make_host: MakeHost, hands_over: bool) -> None:
    """Ours, which keeps questions, just where Hermes does not hand them over itself."""
    made = make_host()
    made.server._detached_ws_transport = upstream = object()  # type: ignore[attr-defined]

    Host(made.server, dataclasses.replace(made.findings, hands_over=hands_over), made.lanes)

    assert (made.server._detached_ws_transport is upstream) is hands_over


def test_question_to_a_seat_that_has_gone(make_host: MakeHost) -> None:
    """Between the end of a client and Hermes' knowing of it a question is kept as well."""
    host = make_host()
    seat, _outbox = open_seat(host)
    detach(host, seat)
    host.server._pending = {"r1": object()}  # type: ignore[attr-defined]
    params = {"type": "x.request", "session_id": "s", "payload": {"request_id": "r1"}}

    assert seat.transport.write({"jsonrpc": "2.0", "method": "event", "params": params}) is False

    assert len(host.questions.to_repeat({"result": {"session_id": "s"}})) == 1


def test_cure_that_fails(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """When a session cannot be looked for, Hermes gets the request as it came."""
    host = make_host()
    host.server._sessions["s"] = {"session_key": "other"}

    def fail() -> None:
        raise RuntimeError

    host.server._get_db = fail  # type: ignore[attr-defined]
    seat, outbox = open_seat(host)

    got = exchange(host, seat, outbox, "session.resume", session_id="s")

    assert got[0]["result"] == {"session_id": "s"}
    assert "a cure of session.resume failed" in caplog.text


def test_sessions_are_remembered_when_their_client_goes(make_host: MakeHost) -> None:
    """Also those of which no request ever spoke."""
    host = make_host()
    seat, _outbox = open_seat(host)
    host.server._sessions["s"] = {"session_key": "stored", "transport": seat.transport}

    detach(host, seat)
    host.server._sessions.clear()

    request = {"method": "session.resume", "params": {"session_id": "s"}}
    assert host.stored_keys.translate(request)["params"] == {"session_id": "stored"}


@pytest.mark.parametrize(
    "params", [None, [], {}, *({"session_id": odd} for odd in (5, "", None, []))]
)
def test_odd_resumes_are_hermes_own(make_host: MakeHost, params: Any) -> None:
    """What is no proper request is answered by Hermes."""
    host = make_host()
    seat, outbox = open_seat(host)
    outbox.take(EVERYTHING)

    request = {"jsonrpc": "2.0", "id": 1, "method": "session.resume", "params": params}
    seat.requests.submit(1, json.dumps(request).encode(), urgent=False)
    assert host.lanes.wait_quiet(GUARD)

    assert sent(outbox)[0]["result"] == params
    assert not host.stored_keys._keys


def two_sessions(host: Host, seat: HostSeat) -> dict[str, dict[str, Any]]:
    """One session of the seat, one of another client."""
    sessions = {"mine": {"transport": seat.transport}, "other": {"transport": object()}, "none": {}}
    host.server._sessions.update(sessions)
    return sessions


def test_release_of_0_14(make_host: MakeHost, hooks: Any) -> None:
    """Before 0.16 a gone client's sessions, and only these, write into the sink."""
    host = make_host(*OLD)
    seat, _outbox = open_seat(host)
    sessions = two_sessions(host, seat)
    other = sessions["other"]["transport"]

    detach(host, seat)

    assert sessions["mine"]["transport"] is host.sink
    assert sessions["other"]["transport"] is other
    assert sessions["none"] == {}
    assert hooks.calls == []


def test_release_of_0_16(make_host: MakeHost, hooks: Any) -> None:
    """In 0.16 Hermes is asked as well to reap each session that was left."""
    host = make_host(*HERMES_0_16)
    seat, _outbox = open_seat(host)
    sessions = two_sessions(host, seat)

    detach(host, seat)

    assert sessions["mine"]["transport"] is host.sink
    assert hooks.calls == [("_schedule_ws_orphan_reap", "mine")]


def test_release_of_0_17(make_host: MakeHost, hooks: Any) -> None:
    """From 0.17 on Hermes does it all itself, when told why."""
    host = make_host(*HERMES_0_17)
    seat, _outbox = open_seat(host)
    sessions = two_sessions(host, seat)
    transport = seat.transport

    detach(host, seat)

    end = ("end_reason", "ws_disconnect")
    assert hooks.calls == [("_close_sessions_for_transport", transport, end)]
    assert sessions["mine"]["transport"] is transport


def test_release_of_head(make_host: MakeHost, hooks: Any) -> None:
    """HEAD forgets the transport before it closes the sessions."""
    host = make_host(*HEAD)
    seat, _outbox = open_seat(host)
    hooks.calls.clear()

    detach(host, seat)

    assert hooks.names == ["unregister_live_transport", "_close_sessions_for_transport"]


def test_failing_hook(make_host: MakeHost, hooks: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A hook that fails is logged by name, and the others are called all the same."""
    host = make_host(*HEAD)

    def fail(*args: Any) -> None:
        raise RuntimeError

    host.server.unregister_live_transport = fail  # type: ignore[attr-defined]
    seat, _outbox = open_seat(host)

    detach(host, seat)

    assert hooks.names[-1] == "_close_sessions_for_transport"
    assert "Hermes' unregister_live_transport failed" in caplog.text


class TurningSession(dict[str, Any]):
    """A session whose turn ends after it was looked at so often."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def get(self, key: str, default: Any = None) -> Any:
        assert key == "running"
        self.looks -= 1
        return self.looks >= 0


def test_drain_of_nothing(make_host: MakeHost) -> None:
    """Where nothing runs a drain is done, even without time."""
    host = make_host()
    host.server._sessions["s"] = {"running": False}

    assert host.drain(0) is True


def test_drain_waits_for_turns(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """A drain waits until the last turn has ended."""
    monkeypatch.setattr(module, "DRAIN_POLL", 0)
    host = make_host()
    session = host.server._sessions["s"] = TurningSession(3)

    assert host.drain(GUARD) is True
    assert session.looks == -1


def test_drain_gives_up_on_turns(make_host: MakeHost) -> None:
    """A turn that runs on makes the drain end with False when its time is up."""
    host = make_host()
    host.server._sessions["s"] = {"running": True}

    assert host.drain(0) is False


def test_drain_gives_up_on_requests(make_host: MakeHost) -> None:
    """A request that runs on makes the drain end with False as well."""
    host, go_on = make_host(), threading.Event()
    host.lanes.lane().put(lambda: assert_true(go_on.wait(GUARD)))

    assert host.drain(0) is False
    go_on.set()
    assert host.drain(GUARD) is True


def assert_true(value: bool) -> None:
    assert value


def test_shutdown(make_host: MakeHost, hooks: Any) -> None:
    """At the end Hermes finalises its sessions."""
    assert make_host("_shutdown_sessions").shutdown(GUARD) is True
    assert hooks.calls == [("_shutdown_sessions",)]


def test_shutdown_without_the_hook(make_host: MakeHost, hooks: Any) -> None:
    """A Hermes that has nothing to finalise is done at once."""
    assert make_host().shutdown(0) is True
    assert hooks.calls == []


def test_shutdown_that_fails(make_host: MakeHost, caplog: pytest.LogCaptureFixture) -> None:
    """A failure is logged and does not hold up the end."""
    host = make_host("_shutdown_sessions")

    def fail() -> None:
        raise RuntimeError

    host.server._shutdown_sessions = fail  # type: ignore[attr-defined]

    assert host.shutdown(GUARD) is True
    assert "Hermes' _shutdown_sessions failed" in caplog.text


def test_shutdown_that_hangs(make_host: MakeHost) -> None:
    """Finalising that hangs is given up when its time is over."""
    host, go_on, done = make_host("_shutdown_sessions"), threading.Event(), threading.Event()

    def hang() -> None:
        assert go_on.wait(GUARD)
        done.set()

    host.server._shutdown_sessions = hang  # type: ignore[attr-defined]

    assert host.shutdown(0) is False
    go_on.set()
    assert done.wait(GUARD)


@pytest.fixture
def mcp(monkeypatch: pytest.MonkeyPatch, no_hermes: None) -> list[dict[str, Any]]:
    """A Hermes (0.18 and 0.19) whose socket handler starts MCP discovery."""
    calls: list[dict[str, Any]] = []
    ws, startup = ModuleType("tui_gateway.ws"), ModuleType("hermes_cli.mcp_startup")

    def handle_ws() -> None:
        from hermes_cli.mcp_startup import (  # type: ignore[import-not-found]
            start_background_mcp_discovery,
        )

        start_background_mcp_discovery()

    def start_background_mcp_discovery(**options: Any) -> None:
        calls.append(options)

    ws.handle_ws = handle_ws  # type: ignore[attr-defined]
    startup.start_background_mcp_discovery = (  # type: ignore[attr-defined]
        start_background_mcp_discovery
    )
    for part in (ModuleType("tui_gateway"), ModuleType("hermes_cli"), ws, startup):
        monkeypatch.setitem(sys.modules, part.__name__, part)
    return calls


def test_mcp_discovery(mcp: list[dict[str, Any]], make_host: MakeHost) -> None:
    """Where the transport starts MCP discovery it is started once, with the first client."""
    host = make_host()
    assert mcp == []

    open_seat(host)
    open_seat(host)

    assert [options["thread_name"] for options in mcp] == ["hermes-attach-mcp-discovery"]


def test_mcp_discovery_that_fails(
    mcp: list[dict[str, Any]], make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    """Without MCP tools a client is served all the same."""
    host = make_host()
    del sys.modules["hermes_cli.mcp_startup"].start_background_mcp_discovery

    _seat, outbox = open_seat(host)

    assert len(sent(outbox)) == 1
    assert "MCP discovery could not be started" in caplog.text


def test_explain_shedding() -> None:
    """A slow client is told in words that every release prints."""
    assert json.loads(explain_shedding()) == {
        "jsonrpc": "2.0",
        "method": "event",
        "params": {"type": "browser.progress", "payload": {"message": SLOW_CLIENT_NOTICE}},
    }


@pytest.fixture
def stub_host(stub: None, pool: LanePool) -> Host:
    return Host.load(pool)


def ask(host: Host, seat: HostSeat, method: str, **params: Any) -> None:
    request = {"jsonrpc": "2.0", "id": method, "method": method, "params": params}
    seat.requests.submit(1, json.dumps(request).encode(), urgent=False)
    assert host.lanes.wait_quiet(GUARD)


def test_load(stub_host: Host) -> None:
    """Loading replaces the transport that would print conversations to the log."""
    assert stub_host.server._stdio_transport is stub_host.sink
    assert "_close_sessions_for_transport" in stub_host.findings.hooks


def test_events_of_nobody(stub_host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    """Late events of sessions that nobody is attached to are dropped, not printed."""
    seat, outbox = open_seat(stub_host)
    outbox.take(EVERYTHING)

    ask(stub_host, seat, "late.event")

    # The one from the request's own thread goes to its client, the other to nobody.
    assert stub_host.sink.dropped == 1
    captured = capfd.readouterr()
    assert "secret" not in captured.out + captured.err
    assert "LEAKED" not in captured.out


def test_session_of_a_client(stub_host: Host) -> None:
    """A session is bound to its seat until the client goes; its turn goes on."""
    seat, outbox = open_seat(stub_host)
    ask(stub_host, seat, "session.create")
    [(sid, session)] = stub_host.server._sessions.items()
    assert session["transport"] is seat.transport
    assert sent(outbox)[-1]["result"]["session_id"] == sid

    detach(stub_host, seat)

    assert session["transport"] is stub_host.server._detached_ws_transport


def test_shutdown_of_the_stub(
    stub_host: Host, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Finalising reaches every session."""
    monkeypatch.setenv("STUB_SHUTDOWN_MARK", str(tmp_path / "mark"))
    seat, _outbox = open_seat(stub_host)
    ask(stub_host, seat, "session.create")
    [sid] = stub_host.server._sessions

    assert stub_host.shutdown(GUARD)
    assert (tmp_path / "mark").read_text() == sid
