"""Where upstream's main branch is going: a stand-in with its features, behind a real server."""

from __future__ import annotations

import sys

import pytest

from tests.conftest import STUB
from tests.system.conftest import Client, Server, World, wait_until
from tests.system.hermes import drop


@pytest.fixture
def server(world: World, free_port: int) -> Server:
    python = world.directory / "head-python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{STUB / "head"}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = str(python)
    return world.twistd(free_port)


def open_session(client: Client) -> str:
    return str(client.call("session.create")["session_id"])


def test_ready_frame(server: Server) -> None:
    """It promises what upstream's own does, and the heartbeat is answered by the front."""
    client = server.client(ready=False)

    ready = client.event("gateway.ready")

    assert ready["payload"] == {
        "skin": {"name": "stub", "colors": {}},
        "change_events": True,
        "heartbeat": True,
        "replay_epoch": "0123456789abcdef0123456789abcdef",
    }
    assert client.call("gateway.ping") == {"ok": True}


def test_heartbeat_while_hermes_is_stuck(server: Server) -> None:
    client = server.client()
    stuck = client.request("block", name="gate")
    client.event("stub.blocked")

    assert client.call("gateway.ping") == {"ok": True}

    client.call("open.respond", name="gate")
    client.answer(stuck)


def test_events_keep_their_numbers(server: Server) -> None:
    client = server.client()
    session = open_session(client)

    client.call("stream", session_id=session, count=3)
    events = client.events(until="message.complete")

    assert [event["seq"] for event in events] == [1, 2, 3, 4, 5]
    again = client.call("session.events.since", session_id=session, last_seen=3)
    assert again["events"] == events[3:]


def test_question_as_a_request(server: Server) -> None:
    """It reaches the client with its id, and the client's response reaches Hermes."""
    client = server.client()
    session = open_session(client)

    asked = client.call("ask", session_id=session, what="clarify", text="Which?")["id"]
    question = client.next(lambda frame: frame.get("id") == asked and "method" in frame)

    assert question["method"] == "clarify"
    assert question["params"] == {"session_id": session, "text": "Which?"}
    client.send({"jsonrpc": "2.0", "id": asked, "result": {"value": "b"}})
    assert client.event("asked")["payload"] == {"answer": {"value": "b"}}


def test_response_does_not_hold_up_the_stop(server: Server) -> None:
    """Nobody answers a response: it is not waited for."""
    client = server.client()
    session = open_session(client)
    asked = client.call("ask", session_id=session, what="clarify", text="?")["id"]
    client.send({"jsonrpc": "2.0", "id": asked, "result": {"value": "b"}})
    client.event("asked")

    server.terminate()

    assert client.closed()[0] == 1001
    server.ended()
    assert "still running" not in server.output


def test_refusal_of_a_question(server: Server) -> None:
    client = server.client()
    session = open_session(client)
    asked = client.call("ask", session_id=session, what="sudo", text="?")["id"]

    error = {"code": -32601, "message": "no"}
    client.send({"jsonrpc": "2.0", "id": asked, "error": error})

    assert client.event("asked")["payload"] == {"answer": error}


def test_question_is_handed_over_once(server: Server) -> None:
    """It comes in the answer, as upstream has it, and is not repeated besides."""
    first = server.client()
    created = first.call("session.create")
    asked = first.call("ask", session_id=created["session_id"], what="clarify", text="?")["id"]
    first.next(lambda frame: frame.get("id") == asked and "method" in frame)
    drop(first)
    client = server.client()

    resumed = client.call("session.resume", session_id=created["stored_session_id"])

    assert [question["id"] for question in resumed["open_requests"]] == [asked]
    client.call("echo")
    assert not [frame for frame in client.kept if frame.get("id") == asked]
    client.send({"jsonrpc": "2.0", "id": asked, "result": 1})
    assert client.event("asked")["payload"] == {"answer": 1}


def test_resume_by_live_id(server: Server) -> None:
    """Translated as for any release: Hermes is asked for the stored key."""
    client = server.client()
    created = client.call("session.create")

    resumed = client.call("session.resume", session_id=created["session_id"])

    assert resumed["asked_for"] == created["stored_session_id"]


def test_clients_are_registered(server: Server) -> None:
    """For broadcasts, each once, as long as they are there; helpers start once."""
    first, second = server.client(), server.client()

    told = first.call("broadcast")

    assert told["clients"] == 2
    assert told["started"] == ["skin watcher", "heartbeat refresher", "orphan sweep"]
    first.event("skin.changed")
    second.event("skin.changed")
    drop(second)
    wait_until(lambda: first.call("broadcast")["clients"] == 1, "the other to be forgotten")


def test_findings_are_logged(server: Server) -> None:
    server.client()

    wait_until(lambda: "Hermes is ready" in server.output, "the line")
    (line,) = (line for line in server.output.splitlines() if "Hermes is ready" in line)
    assert "hooks found: _close_sessions_for_transport" in line
    assert "register_live_transport" in line
    assert "hooks left out: _schedule_ws_orphan_reap" in line
    assert "answered in its place: pet.cells, session.active_list" in line
