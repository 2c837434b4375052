"""What clients of a real Hermes may do, and what they may do to each other."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import find_port, hermes_python
from tests.fake_model import FakeModel
from tests.system.conftest import Client, Failed, Server, World, text_of, wait_until
from tests.system.test_hermes import stored_key, submit

pytestmark = pytest.mark.hermes

VERSIONS = ["0.14.0", "0.19.0"]
DENIED = -32001


@pytest.fixture(scope="module", params=VERSIONS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[tuple[str, Server]]:
    """A release, and a server of it that has a key for each scope."""
    world = World(tmp_path_factory.mktemp("scopes"))
    world.configure_hermes(model, hermes_python(request.param))
    try:
        yield request.param, world.scoped(find_port())
    finally:
        world.close()


@pytest.fixture
def server(served: tuple[str, Server]) -> Server:
    return served[1]


@pytest.fixture
def version(served: tuple[str, Server]) -> str:
    return served[0]


def denied(client: Client, method: str, **params: Any) -> str:
    """Asserts that a call is denied; the message."""
    with pytest.raises(Failed) as caught:
        client.call(method, **params)
    assert caught.value.error["code"] == DENIED
    return str(caught.value.error["message"])


def test_chat(server: Server) -> None:
    """A chat key holds a conversation, and runs, configures and reads nothing itself."""
    chat = server.use("chat").client()
    session = chat.call("session.create", cols=80)["session_id"]
    submit(chat, session, "hello tokens=20")

    assert "w18 w19" in text_of(chat.events(until="message.complete"))
    assert "shell.exec" in denied(chat, "shell.exec", command="id")
    denied(chat, "config.get", key="full")
    denied(chat, "config.set", key="skin", value="x")
    denied(chat, "slash.exec", session_id=session, command="/model other")
    assert chat.call("slash.exec", session_id=session, command="/history")["output"]
    assert "mtime" in chat.call("config.get", key="mtime")
    chat.call("session.close", session_id=session)


def test_chat_approves_once(server: Server) -> None:
    """A chat key may allow the command that the agent asks about, but not for ever."""
    chat = server.use("chat").client()
    session = chat.call("session.create", cols=80)["session_id"]
    command = '{"command": "rm -rf /tmp/some-nonexistent-path-xyz"}'
    submit(chat, session, f"tool=terminal args={command} tokens=5")
    chat.event("approval.request")

    denied(chat, "approval.respond", session_id=session, choice="always")
    assert chat.call("approval.respond", session_id=session, choice="once") == {"resolved": 1}
    chat.event("message.complete")
    chat.call("session.close", session_id=session)


def test_watch(server: Server, version: str) -> None:
    """A watching key reads, attaches and sees the events; it says and ends nothing."""
    full = server.use("full").client()
    created = full.call("session.create", cols=80)
    session = created["session_id"]
    submit(full, session, "watched tokens=10")
    full.event("message.complete")
    stored = stored_key(full, created, "watched")
    watch = server.use("watch").client()

    assert stored in str(watch.call("session.list", limit=50))
    for method in ("session.create", "session.interrupt", "session.close", "session.undo"):
        denied(watch, method, session_id=session)
    denied(watch, "prompt.submit", session_id=session, text="x")
    denied(watch, "approval.respond", session_id=session, choice="deny")
    denied(watch, "session.title", session_id=session, title="x")
    attached = watch.call("session.resume", session_id=stored, cols=80)
    assert "watched" in str(attached["messages"])
    assert watch.call("session.history", session_id=attached["session_id"])["count"] >= 2
    if version != "0.14.0":  # There a resumed conversation is a second one.
        assert attached["session_id"] == session
        watch.request("session.activate", session_id=session)
        submit(full, session, "again tokens=400 rate=100")
        full.event("message.delta")
        watch.call("session.activate", session_id=session)
        assert watch.event("message.complete")["session_id"] == session
    full.call("session.close", session_id=session)


# What Hermes allows between clients.

#: What a client may call with the session id of another without getting its frames.
HARMLESS: dict[str, dict[str, Any]] = {
    "session.history": {},
    "session.status": {},
    "session.usage": {},
    "session.title": {},
    "session.steer": {"text": "x"},
    "session.save": {},
    "terminal.resize": {"cols": 70},
    "input.detect_drop": {"text": "x"},
    "process.list": {},
    "clarify.respond": {"request_id": "none", "answer": "x"},
    "approval.respond": {"choice": "deny"},
    "config.get": {"key": "reasoning"},
    "config.set": {"key": "statusbar", "value": "top"},
    "slash.exec": {"command": "/history"},
    "command.dispatch": {"name": "goal", "arg": "status"},
    "complete.slash": {"text": "/he"},
    "image.attach": {"path": "/none.png"},
    "delegation.status": {},
    "session.active_list": {},
    "session.context_breakdown": {},
    "session.undo": {},
    "session.compress": {},
    "session.branch": {},
    "session.cwd.set": {"cwd": "/tmp"},
    "subagent.interrupt": {"subagent_id": "none"},
    "rollback.list": {},
    "reload.mcp": {},
    "llm.oneshot": {"input": "x"},
}


class Turn:
    """A turn of *owner* that goes on, while *other* tries to get hold of it."""

    def __init__(self, owner: Client, other: Client) -> None:
        self.owner, self.other = owner, other
        self.created = owner.call("session.create", cols=80)
        self.session = self.created["session_id"]
        self.word = secrets.token_hex(8)
        submit(owner, self.session, f"{self.word} tokens=3")  # 0.14 lists it only then.
        owner.event("message.complete")
        owner.kept = []  # The next delta is the next turn's, which may be queued for a moment.
        submit(owner, self.session, "endless tokens=20000 rate=100")
        owner.event("message.delta")

    def receivers(self) -> set[str]:
        """Who gets the frames that the session makes from now on."""
        for client in (self.owner, self.other):
            client.call("session.list", limit=1)
            client.kept = []

        def seen() -> set[str]:
            found = set()
            for name, client in (("owner", self.owner), ("other", self.other)):
                client.call("session.list", limit=1)
                params = (frame.get("params", {}) for frame in client.kept)
                kinds = {p["type"] for p in params if p.get("session_id") == self.session}
                if kinds & {"message.delta", "message.complete"}:
                    found.add(name)
            return found

        wait_until(seen, "a frame of the session")
        return seen()

    def end(self) -> None:
        self.owner.answer(self.owner.request("session.interrupt", session_id=self.session))
        self.owner.call("session.close", session_id=self.session)


def test_answers_go_to_the_asker(server: Server) -> None:
    """Clients that use the same ids at the same time get their own answers."""
    clients = [server.use("full").client() for _ in range(3)]
    sessions = [client.call("session.create", cols=80)["session_id"] for client in clients]
    for client in clients:
        client._ids = iter(f"same{number}" for number in range(1000))  # type: ignore[assignment]

    asked = [
        [client.request("session.history", session_id=session) for _ in range(20)]
        for client, session in zip(clients, sessions, strict=True)
    ]
    titles = [
        client.request("session.title", session_id=session, title=f"t-{session}")
        for client, session in zip(clients, sessions, strict=True)
    ]

    for client, session, requests, title in zip(clients, sessions, asked, titles, strict=True):
        assert client.answer(title)["result"]["title"] == f"t-{session}"
        for request in requests:
            client.answer(request)
        others = set(sessions) - {session}
        assert not any(other in str(client.kept) for other in others)
    for client, session in zip(clients, sessions, strict=True):
        client.call("session.close", session_id=session)


def test_another_clients_session_id(server: Server) -> None:
    """With another's session id a client gets none of that session's frames."""
    turn = Turn(server.use("full").client(), server.client())

    for method, params in HARMLESS.items():
        turn.other.answer(turn.other.request(method, session_id=turn.session, **params))
        assert (method, turn.receivers()) == (method, {"owner"})
    turn.other.call("session.interrupt", session_id=turn.session)
    turn.owner.event("message.complete")
    turn.other.call("session.list", limit=1)

    assert turn.session not in str([f for f in turn.other.kept if "method" in f])
    turn.end()


def test_take_over(server: Server, version: str) -> None:
    """The ways to take a session's frames over: resume, activate, and on 0.19 a prompt."""
    turn = Turn(server.use("full").client(), server.client())
    stored = stored_key(turn.owner, turn.created, turn.word)

    def take_over(client: Client, method: str, **params: Any) -> set[str]:
        client.answer(client.request(method, **params))
        return turn.receivers()

    session = {"session_id": turn.session}
    assert take_over(turn.other, "session.resume", session_id=stored, cols=80) == {"other"}
    assert take_over(turn.owner, "session.resume", **session, cols=80) == {"owner"}
    if version != "0.14.0":  # Which has no such method.
        assert take_over(turn.other, "session.activate", **session) == {"other"}
        assert take_over(turn.owner, "session.activate", **session) == {"owner"}

    turn.owner.call("session.interrupt", **session)
    turn.owner.event("message.complete")
    for client in (turn.owner, turn.other):
        client.kept = []
    submit(turn.other, turn.session, "short tokens=3")
    receiver = turn.owner if version == "0.14.0" else turn.other
    assert receiver.event("message.complete")["session_id"] == turn.session
    turn.end()
