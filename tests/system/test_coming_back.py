"""Clients that lose their connection to a real Hermes, and come back on another."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.conftest import find_port, hermes_python
from tests.fake_model import FakeModel, words
from tests.system.conftest import (
    Client,
    Failed,
    Server,
    children,
    command_line,
    is_alive,
    text_of,
    wait_until,
)
from tests.system.hermes import RELEASES, drop, new_world, serving, stored_key, submit

pytestmark = pytest.mark.hermes

#: Releases that never end the session of a client that has gone.
NEVER_REAPED = ("0.14.0", "0.15.2")
APPROVAL = 'tool=terminal args={"command": "rm -rf /tmp/some-nonexistent-path-xyz"} tokens=5'
CLARIFY = 'tool=clarify args={"question": "Which?", "choices": ["a", "b"]} tokens=5'


@dataclass
class Release:
    version: str
    server: Server

    def open(self) -> tuple[Client, dict[str, Any]]:
        """A client with a new session."""
        client = self.server.client()
        return client, client.call("session.create", cols=100)

    def drop_in_a_turn(self, *prompts: str) -> tuple[Client, dict[str, Any]]:
        """Another client, and the session of one that was cut off in the last of these turns."""
        client, created = self.open()
        *before, prompt = prompts
        for earlier in before:
            submit(client, created["session_id"], earlier)
            client.events(until="message.complete")
        submit(client, created["session_id"], prompt)
        client.event("message.delta")
        drop(client)
        return self.server.client(), created


@pytest.fixture(scope="module", params=RELEASES)
def release(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[Release]:
    with serving(request.param, tmp_path_factory, model) as server:
        yield Release(request.param, server)


class TestSessionStillLive:
    def test_by_live_id(self, release: Release) -> None:
        """How the UIs of 0.16 and 0.17 ask; no Hermes understands it by itself."""
        client, created = release.drop_in_a_turn("by live id tokens=150 rate=50")

        resumed = client.call("session.resume", session_id=created["session_id"], cols=80)

        assert resumed["session_id"] == created["session_id"]
        assert resumed["running"] is True
        assert "by live id" in json.dumps(resumed)
        events = client.events(until="message.complete")
        assert events[-1]["payload"]["text"].strip() == words(150).strip()
        assert text_of(events)

    def test_by_stored_key(self, release: Release) -> None:
        """The running turn is given back, also where Hermes would build a second agent."""
        # Before 0.16 a session is stored with the end of its first turn.
        client, created = release.drop_in_a_turn("by stored key", "again tokens=150 rate=50")
        key = stored_key(client, created, "by stored key")

        resumed = client.call("session.resume", session_id=key, cols=80)

        assert resumed["session_id"] == created["session_id"]
        assert resumed["resumed"] == key
        events = client.events(until="message.complete")
        assert events[-1]["payload"]["text"].strip() == words(150).strip()

    def test_goes_on_afterwards(self, release: Release) -> None:
        client, created = release.drop_in_a_turn("before tokens=30 rate=50")
        client.call("session.resume", session_id=created["session_id"], cols=80)
        client.events(until="message.complete")

        submit(client, created["session_id"], "after tokens=7")

        assert text_of(client.events(until="message.complete")).strip() == words(7).strip()

    def test_before_the_first_prompt(self, release: Release) -> None:
        """Nothing is stored yet, and nothing is lost."""
        first, created = release.open()
        drop(first)
        client = release.server.client()

        resumed = client.call("session.resume", session_id=created["session_id"], cols=80)

        assert resumed["session_id"] == created["session_id"]
        assert resumed["messages"] == []
        submit(client, resumed["session_id"], "now tokens=6")
        assert text_of(client.events(until="message.complete")).strip() == words(6).strip()

    @pytest.mark.parametrize("kind", ["approval", "clarify"])
    def test_open_question(self, release: Release, kind: str) -> None:
        """Asked before the drop, answered after it."""
        first, created = release.open()
        submit(first, created["session_id"], APPROVAL if kind == "approval" else CLARIFY)
        asked = first.event(f"{kind}.request")
        drop(first)
        client = release.server.client()

        client.call("session.resume", session_id=created["session_id"], cols=80)

        again = client.event(f"{kind}.request")
        assert again == asked
        answer_question(client, again)
        events = client.events(until="message.complete")
        assert text_of(events).strip() == words(5).strip()
        # Not once more, now that it is answered.
        client.call("session.resume", session_id=created["session_id"], cols=80)
        client.call("setup.status")
        assert not [f for f in client.kept if f["params"]["type"] == f"{kind}.request"]

    def test_question_asked_while_nobody_was_there(self, release: Release) -> None:
        if release.version == "0.14.0":
            pytest.skip("0.14 does not tell from outside that a session waits")
        first, created = release.open()
        submit(first, created["session_id"], f"delay=1 {CLARIFY}")
        drop(first)
        client = release.server.client()

        def waits() -> bool:
            rows = client.call("session.active_list")["sessions"]
            return any(
                row["id"] == created["session_id"] and row["status"] == "waiting" for row in rows
            )

        wait_until(waits, "the question")
        client.call("session.resume", session_id=created["session_id"], cols=80)

        answer_question(client, client.event("clarify.request"))
        client.events(until="message.complete")

    def test_activate_moves_the_stream(self, release: Release) -> None:
        """Also in 0.15 and 0.16, which leave it with the client before."""
        if release.version == "0.14.0":
            pytest.skip("0.14 does not know session.activate")
        client, created = release.drop_in_a_turn("moved tokens=150 rate=50")

        activated = client.call("session.activate", session_id=created["session_id"])

        assert activated["session_id"] == created["session_id"]
        events = client.events(until="message.complete")
        assert events[-1]["payload"]["text"].strip() == words(150).strip()

    def test_unknown_session(self, release: Release) -> None:
        client = release.server.client()

        with pytest.raises(Failed) as failed:
            client.call("session.resume", session_id="00000000", cols=80)

        assert failed.value.error["code"] == 4007


@pytest.fixture(scope="module", params=RELEASES)
def reaping(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[Release]:
    """One that waits half a second for a client to come back."""
    grace = {"HERMES_TUI_WS_ORPHAN_REAP_GRACE_S": "0.5"}
    with serving(request.param, tmp_path_factory, model, **grace) as server:
        yield Release(request.param, server)


class TestReaped:
    """Hermes ends the sessions of clients that do not come back, from 0.16 on."""

    def leave(self, release: Release, prompt: str | None) -> tuple[Client, dict[str, Any]]:
        """A session of a client that has gone, reaped where this release does that."""
        others = set(slash_workers_of(release.server))
        first, created = release.open()
        if prompt is not None:
            submit(first, created["session_id"], prompt)
            first.events(until="message.complete")
        else:
            first.event("session.info")  # Then the agent is built, with all it starts.
        slash_workers = set(slash_workers_of(release.server)) - others
        assert slash_workers
        drop(first)
        client = release.server.client()
        if release.version in NEVER_REAPED:
            assert all(map(is_alive, slash_workers))
        else:
            wait_until(lambda: not is_live(client, created["session_id"]), "the reaper")
            wait_until(lambda: not any(map(is_alive, slash_workers)), "its processes to end")
        return client, created

    def test_by_live_id(self, reaping: Release) -> None:
        client, created = self.leave(reaping, "what was said tokens=4")

        resumed = client.call("session.resume", session_id=created["session_id"], cols=80)

        assert [message["role"] for message in resumed["messages"]] == ["user", "assistant"]
        same = resumed["session_id"] == created["session_id"]
        assert same is (reaping.version in NEVER_REAPED)
        submit(client, resumed["session_id"], "more tokens=6")
        assert text_of(client.events(until="message.complete")).strip() == words(6).strip()

    def test_before_the_first_prompt(self, reaping: Release) -> None:
        """There is nothing to resume: an empty talk is what it was."""
        client, created = self.leave(reaping, None)

        resumed = client.call("session.resume", session_id=created["session_id"], cols=80)

        assert resumed["messages"] == []
        submit(client, resumed["session_id"], "first words tokens=6")
        assert text_of(client.events(until="message.complete")).strip() == words(6).strip()


@pytest.mark.parametrize("version", RELEASES)
def test_long_history(
    version: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> None:
    """20 MB of it come through, whole, while another client's words come as before."""
    world = new_world(version, tmp_path_factory, model)
    made = world.run(str(hermes_python(version)), "-c", MAKE_LONG_HISTORY)
    assert made.returncode == 0, made.stdout
    try:
        server = world.twistd(find_port())
        client, other = server.client(), server.client()
        session = other.call("session.create", cols=80)["session_id"]
        submit(other, session, "meanwhile tokens=50 rate=50")

        resumed = client.call("session.resume", session_id="20260101_000000_aaaaaa", cols=80)

        assert len(resumed["messages"]) == 20
        assert sum(len(message["text"]) for message in resumed["messages"]) >= 20_000_000
        assert text_of(other.events(until="message.complete")).strip() == words(50).strip()
    finally:
        world.close()


MAKE_LONG_HISTORY = """
from hermes_state import SessionDB

db = SessionDB()
db.create_session("20260101_000000_aaaaaa", "tui")
for number in range(20):
    role = "assistant" if number % 2 else "user"
    db.append_message("20260101_000000_aaaaaa", role, f"{number} " + "word " * 200_000)
"""


def answer_question(client: Client, asked: dict[str, Any]) -> None:
    """As a user would: yes, and b."""
    if asked["type"] == "approval.request":
        answer = client.call("approval.respond", session_id=asked["session_id"], choice="once")
        assert answer == {"resolved": 1}
    else:
        request = asked["payload"]["request_id"]
        answer = client.call("clarify.respond", request_id=request, answer="b")
        assert answer == {"status": "ok"}


def is_live(client: Client, session: str) -> bool:
    rows = client.call("session.active_list")["sessions"]
    return session in [row["id"] for row in rows]


def slash_workers_of(server: Server) -> list[int]:
    return [pid for pid in children(server.pid) if "slash_worker" in command_line(pid)]
