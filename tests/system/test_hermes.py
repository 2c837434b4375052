"""Real releases of Hermes, before a model that does as it is told."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hermes_twisted.seats.ledger import RESUMED
from tests.conftest import hermes_python
from tests.fake_model import FakeModel, words
from tests.system.conftest import (
    Client,
    Server,
    World,
    children,
    command_line,
    is_alive,
    kill_worker,
    text_of,
    wait_until,
)
from tests.system.hermes import RELEASES, drop, serving, stored_key, submit

pytestmark = pytest.mark.hermes


@dataclass
class Attached:
    """A client with an open session; the tests of a release share it, as turns in one talk."""

    version: str
    server: Server
    client: Client
    session: str

    def ask(self, text: str) -> None:
        submit(self.client, self.session, text)

    def turn(self, text: str) -> list[dict[str, Any]]:
        """One whole turn: its events."""
        self.ask(text)
        return self.client.events(until="message.complete")


@pytest.fixture(scope="module", params=RELEASES)
def attached(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[Attached]:
    with serving(request.param, tmp_path_factory, model) as server:
        client = server.client(ready=False)
        assert client.event("gateway.ready")["payload"]["skin"]["branding"]
        created = client.call("session.create", cols=100)
        yield Attached(request.param, server, client, created["session_id"])


class TestOneSession:
    def test_catalog(self, attached: Attached) -> None:
        """What the terminal UI asks for first."""
        assert attached.client.call("commands.catalog")["pairs"]
        assert attached.client.call("setup.status") == {"provider_configured": True}
        assert attached.client.call("config.get", key="full")["config"]["model"]

    @pytest.mark.parametrize(
        ("frame", "code", "identity"),
        [
            ("{", -32700, None),
            ('[{"id": "x", "method": "session.list"}]', -32600, None),
            ('{"id": "x1", "params": {}}', -32600, "x1"),
            ('{"id": "x2", "method": "no.such.method"}', -32601, "x2"),
            ('{"id": "x3", "method": "session.list", "params": [1]}', -32602, "x3"),
            ('{"id": 4, "method": "session.interrupt", "params": {"session_id": "?"}}', 4001, 4),
        ],
    )
    def test_malformed_request(
        self, attached: Attached, frame: str, code: int, identity: Any
    ) -> None:
        attached.client.socket.send(frame)

        assert attached.client.answer(identity)["error"]["code"] == code

    def test_notification_is_answered(self, attached: Attached) -> None:
        """Hermes makes no difference: the id is null."""
        params = {"session_id": attached.session, "cols": 120}
        attached.client.send({"jsonrpc": "2.0", "method": "terminal.resize", "params": params})

        assert attached.client.answer(None)["result"] == {"cols": 120}

    def test_streamed_answer(self, attached: Attached) -> None:
        events = attached.turn("hello tokens=120 rate=200")

        assert {event["session_id"] for event in events} == {attached.session}
        assert text_of(events).strip() == words(120).strip()
        assert events[-1]["payload"]["text"].strip() == words(120).strip()
        assert events[-1]["payload"]["status"] == "complete"

    def test_reasoning(self, attached: Attached) -> None:
        events = attached.turn("think first reasoning=30 tokens=5 rate=200")

        assert text_of(events, "reasoning.delta").strip() == words(30).strip()
        assert text_of(events).strip() == words(5).strip()

    def test_tool_call(self, attached: Attached) -> None:
        events = attached.turn('tool=terminal args={"command": "echo said by a tool"} tokens=3')

        kinds = [event["type"] for event in events]
        assert kinds.index("tool.start") < kinds.index("tool.complete")
        assert "approval.request" not in kinds
        assert text_of(events).strip() == words(3).strip()

    @pytest.mark.parametrize("choice", ["once", "deny"])
    def test_approval(self, attached: Attached, choice: str) -> None:
        command = "rm -rf /tmp/some-nonexistent-path-xyz"
        attached.ask(f'tool=terminal args={{"command": "{command}"}} tokens=3')
        asked = attached.client.event("approval.request")

        answer = attached.client.call(
            "approval.respond", session_id=asked["session_id"], choice=choice
        )

        assert asked["payload"]["command"] == command
        assert answer == {"resolved": 1}
        kinds = [event["type"] for event in attached.client.events(until="message.complete")]
        assert kinds.index("tool.start") < kinds.index("tool.complete")

    def test_clarify(self, attached: Attached) -> None:
        attached.ask('tool=clarify args={"question": "Which?", "choices": ["a", "b"]} tokens=3')
        asked = attached.client.event("clarify.request")["payload"]

        answer = attached.client.call("clarify.respond", request_id=asked["request_id"], answer="b")

        assert asked["question"] == "Which?"
        assert asked["choices"] == ["a", "b"]
        assert answer == {"status": "ok"}
        events = attached.client.events(until="message.complete")
        assert "tool.complete" in [event["type"] for event in events]

    def test_interrupt(self, attached: Attached) -> None:
        attached.ask("long one tokens=100000 rate=50")
        attached.client.event("message.delta")

        answer = attached.client.call("session.interrupt", session_id=attached.session)

        assert answer == {"status": "interrupted"}
        last = attached.client.events(until="message.complete")[-1]
        assert last["payload"]["status"] == "interrupted"

    def test_requests_during_a_turn(self, attached: Attached) -> None:
        """Words go on coming while other requests are answered."""
        attached.ask("busy tokens=60 rate=60")
        attached.client.event("message.delta")

        assert attached.client.call("commands.catalog")["pairs"]

        events = attached.client.events(until="message.complete")
        assert [event for event in events if event["type"] == "message.delta"]

    def test_slash_command(self, attached: Attached) -> None:
        result = attached.client.call("slash.exec", session_id=attached.session, command="status")

        assert "fake-model" in result["output"]

    def test_completion(self, attached: Attached) -> None:
        items = attached.client.call("complete.slash", text="/he")["items"]

        assert "help" in [item["text"].strip("/ ") for item in items]

    def test_shell(self, attached: Attached) -> None:
        result = attached.client.call("shell.exec", command="echo said by a shell")

        assert result["stdout"] == "said by a shell\n"

    def test_session_list(self, attached: Attached) -> None:
        attached.turn("to be found later tokens=2")

        sessions = attached.client.call("session.list", limit=20)["sessions"]

        assert sessions
        assert all(row["message_count"] for row in sessions)

    def test_second_client_sees_nothing_of_it(self, attached: Attached) -> None:
        other = attached.server.client()
        attached.turn("between us tokens=20")

        assert other.call("setup.status")
        assert not [frame for frame in other.kept if frame["params"].get("session_id")]

    def test_dropped_in_the_middle_of_a_turn(self, attached: Attached) -> None:
        """The turn goes on, and whoever resumes the session has all that Hermes gives."""
        first = attached.server.client()
        created = first.call("session.create", cols=100)
        # Before 0.16 a session is stored with the end of its first turn.
        submit(first, created["session_id"], "told before tokens=2")
        first.events(until="message.complete")
        key = stored_key(first, created, "told before")
        submit(first, created["session_id"], "survives tokens=200 rate=50")
        first.event("message.delta")
        drop(first)

        second = attached.server.client()
        resumed = second.call("session.resume", session_id=key, cols=100)

        assert resumed["session_id"] == created["session_id"]
        events = second.events(until="message.complete")
        assert events[-1]["payload"]["text"].strip() == words(200).strip()
        assert text_of(events)
        assert "told before" in json.dumps(resumed["messages"])
        assert resumed["inflight"]["user"].startswith("survives")
        if attached.version != "0.14.0":  # It does not keep what was streamed.
            assert words(200).startswith(resumed["inflight"]["assistant"])

    def test_resumed_later(self, attached: Attached) -> None:
        """After its end, the stored talk can be continued."""
        client = attached.server.client()
        created = client.call("session.create", cols=100)
        submit(client, created["session_id"], "continued later tokens=4")
        client.events(until="message.complete")
        key = stored_key(client, created, "continued later")
        client.call("session.close", session_id=created["session_id"])

        resumed = client.call("session.resume", session_id=key, cols=100)
        submit(client, resumed["session_id"], "here tokens=5")

        assert resumed["message_count"] == 2
        assert text_of(client.events(until="message.complete")).strip() == words(5).strip()


@pytest.mark.parametrize("version", RELEASES)
class TestOwnServer:
    def test_stops_while_a_turn_runs(
        self, version: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
    ) -> None:
        """In time, with a word to the user, and without leaving processes behind."""
        with serving(version, tmp_path_factory, model, "--drain=1") as server:
            client = server.client()
            session = client.call("session.create", cols=100)["session_id"]
            submit(client, session, "endless tokens=100000 rate=20")
            client.event("message.delta")
            family = children(server.pid)
            assert [pid for pid in family if "slash_worker" in command_line(pid)]

            server.terminate()

            assert "is stopping" in client.notice()
            assert client.closed()[0] == 1001
            server.ended(limit=15)
            wait_until(lambda: not list(filter(is_alive, family)), "all processes to end", 5)
            assert "Traceback" not in server.output

    def test_in_process(self, version: str, world: World, free_port: int, model: FakeModel) -> None:
        """Hermes in the server's own process, from the environment of another Python."""
        python = hermes_python(version)
        world.configure_hermes(model, python)
        (packages,) = python.parents[1].glob("lib/python3.*/site-packages")
        if packages.parent.name != f"python3.{sys.version_info.minor}":
            pytest.skip(f"this is not the Python that hermes-agent {version} is installed in")
        world.environment["PYTHONPATH"] = str(packages)
        server = world.twistd(free_port, "--backend=inprocess")
        client = server.client()
        session = client.call("session.create", cols=100)["session_id"]

        submit(client, session, "reasoning=5 tokens=40 rate=200")

        events = client.events(until="message.complete")
        assert text_of(events).strip() == words(40).strip()
        assert not [pid for pid in children(server.pid) if "boot.py" in command_line(pid)]
        family = children(server.pid)
        server.terminate()
        assert client.closed()[0] == 1001
        server.ended(limit=15)
        assert not list(filter(is_alive, family))
        assert "Traceback" not in server.output

    def test_worker_is_killed(
        self, version: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
    ) -> None:
        """Its helpers go with it, the client stays, and the talk goes on under the old id."""
        with serving(version, tmp_path_factory, model) as server:
            client = server.client()
            created = client.call("session.create", cols=100)
            submit(client, created["session_id"], "to be remembered tokens=4")
            client.events(until="message.complete")
            stored_key(client, created, "to be remembered")
            family = children(server.pid)

            kill_worker(server)

            assert "SIGKILL" in client.notice()
            assert client.notice() == RESUMED
            wait_until(lambda: not list(filter(is_alive, family)), "the old processes to end", 5)
            submit(client, created["session_id"], "and on tokens=5")
            assert text_of(client.events(until="message.complete")).strip() == words(5).strip()
            talk = ("to be remembered", "and on")
            assert any(all(part in asked for part in talk) for asked in model.asked)

    def test_verbose_output_stays_away(
        self, version: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
    ) -> None:
        """A client may ask Hermes for it; what was said does not reach the log all the same."""
        with serving(version, tmp_path_factory, model) as server:
            client = server.client()
            session = client.call("session.create", cols=100)["session_id"]
            client.call("config.set", key="verbose", value="verbose", session_id=session)
            submit(client, session, "between-the-two-of-us tokens=4")
            client.events(until="message.complete")
            client.call("config.set", key="verbose", value="verbose", session_id=session)
            submit(client, session, "and-this-too tokens=4")
            client.events(until="message.complete")

        assert "between-the-two-of-us" not in server.output
        assert "and-this-too" not in server.output
