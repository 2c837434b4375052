"""The same server inside `hermes gateway run`: real gateways, the real terminal UI."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import sqlite3
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
import websockets.exceptions

from hermes_twisted.gateway import hosted
from tests.conftest import find_port
from tests.fake_model import FakeModel, words
from tests.system import gateways
from tests.system.conftest import Client, World, is_open, text_of, wait_until
from tests.system.gateways import NEWEST, VERSIONS, Gateway
from tests.system.test_ui import Screen, attach

pytestmark = pytest.mark.hermes

#: Hermes' own exit status for a gateway that gets SIGTERM from somebody else.
STOPPED = 1
#: Run inside: the platform's adapter; what says that a person sits there; whether any
#: terminal's turn runs.
ATTACH = "attach = next(a for p, a in runner.adapters.items() if p.value == 'attach')\n"
AGAIN = "for failed in runner._failed_platforms.values(): failed['next_retry'] = 0"
FLAG = "import os; return os.environ.get('HERMES_INTERACTIVE')"
#: What the server has in the reactor, and its threads that would delay an exit.
LEFT = (
    "import threading\n"
    "from twisted.internet import reactor\n"
    "threads = [thread.name for thread in threading.enumerate() if not thread.daemon]\n"
    "threads = sorted(name for name in threads if not name.startswith('asyncio'))\n"
    "return [len(reactor.getReaders()), len(reactor.getDelayedCalls()), threads]"
)
RUNNING = (
    "import tui_gateway.server as server\n"
    "return any(session.get('running') for session in server._sessions.values())"
)


def of_chat(chat: str, output: str) -> dict[str, Any]:
    """What background work brings that the probe's chat has begun."""
    key = f"agent:main:probe:dm:{chat}"
    where = {"platform": "probe", "chat_id": chat, "chat_type": "dm", "user_id": "7"}
    return {"type": "watch_match", "output": output, "session_key": key, **where}


def put(event: dict[str, Any]) -> str:
    """Run inside: background work has brought something."""
    event = {"session_id": f"proc_{event['output']}", "command": "c", "exit_code": 0, **event}
    return (
        "from tools.process_registry import process_registry\n"
        f"process_registry.completion_queue.put({event!r})"
    )


def open_session(gateway: Gateway, client: Client) -> tuple[str, str]:
    """A new session whose agent is ready: its id for the client, and its key in Hermes."""
    session = client.call("session.create", cols=80)["session_id"]
    key = gateway.do(
        f"import tui_gateway.server as server; return server._sessions[{session!r}]['session_key']"
    )
    return session, key


def answer(count: int) -> str:
    """A whole reply, as Hermes keeps it."""
    return words(count).strip()


def is_answer(frame: dict[str, Any], count: int) -> bool:
    """Whether this is the end of a reply of so many words."""
    params = frame.get("params", {})
    if params.get("type") != "message.complete":
        return False
    return bool(params["payload"]["text"].strip() == answer(count))


def replies(gateway: Gateway) -> set[str]:
    """What the chat was answered."""
    return {content.strip() for _chat, content in gateway.do("return adapter.sent")}


@pytest.fixture(scope="module", params=VERSIONS)
def shared(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[Gateway]:
    """A gateway for the tests that leave it as they found it."""
    world = World(tmp_path_factory.mktemp("gateway"))
    with contextlib.closing(world):
        world.use_stub()
        yield gateways.run_gateway(world, request.param, find_port(), model)


@pytest.fixture
def client(shared: Gateway) -> Iterator[Client]:
    """A terminal of this test's own."""
    client = shared.server.client()
    yield client
    client.socket.close()


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """Those that a test has opened."""
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


def get(url: str, key: str = "") -> tuple[int, object]:
    """What a REST client gets."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, None


@pytest.mark.ui
@pytest.mark.parametrize("version", VERSIONS)
def test_founding_workflow(
    version: str, world: World, free_port: int, model: FakeModel, screens: list[Screen]
) -> None:
    """The key of the REST API server attaches a terminal, and both are served at once."""
    world.without_key()
    if version == NEWEST:
        gateways.configure(world, version, model)
        enabled = gateways.hermes(world, version, "plugins", "enable", "attach")
        assert "Plugin attach enabled" in enabled.stdout
    else:  # The command knows only plugins in directories.
        gateways.configure(world, version, model, "attach")
    api = f"http://127.0.0.1:{(api_port := find_port())}"

    gateway = gateways.start(
        world,
        version,
        free_port,
        API_SERVER_ENABLED="true",
        API_SERVER_KEY=world.key,
        API_SERVER_PORT=str(api_port),
        HERMES_ATTACH_ACCEPT_API_SERVER_KEY="1",
    )
    gateway.wait_for("api_server", "connected")
    gateway.wait_for("attach", "connected")
    screen = attach(world, gateway.server, screens)

    screen.shows("─ ready │ fake model")
    screen.type("first tokens=400 rate=40")
    screen.shows("w10", "w20")
    assert get(f"{api}/health")[0] == 200
    assert get(f"{api}/v1/models")[0] == 401
    assert get(f"{api}/v1/models", world.key)[0] == 200
    assert "w399" not in screen.text, "too late to tell whether both are served at once"
    screen.shows("w398 w399")

    gateway.server.terminate()
    screen.shows("The attach server is stopping; this terminal will be disconnected.")
    assert gateway.server.ended() == STOPPED


def test_background_results_of_chats(shared: Gateway, client: Client) -> None:
    """A chat gets what its background work brings, whatever terminals do meanwhile."""
    let_terminals_read(shared, client)

    # The gateway looks for it after each turn of a chat.
    shared.do('await adapter.say("tokens=3", chat="some")')

    wait_until(lambda: {answer(3), answer(17), answer(18)} <= replies(shared), "all replies")


@pytest.mark.parametrize("version", VERSIONS)
def test_without_cures(version: str, world: World, free_port: int, model: FakeModel) -> None:
    """There is a harm to cure, and the tests beside this one would notice it."""
    gateway = gateways.run_gateway(world, version, free_port, model, PROBE_SPOILS="cures")
    client = gateway.server.client()
    let_terminals_read(gateway, client)

    for count in (3, 4):
        gateway.do(f'await adapter.say("tokens={count}", chat="some")')
        wait_until(lambda: answer(count) in replies(gateway), "the chat's reply")  # noqa: B023

    assert not {answer(17), answer(18)} & replies(gateway)
    assert gateway.do(FLAG) == "1"


def let_terminals_read(gateway: Gateway, client: Client) -> None:
    """Two chats' background work has brought something, and a terminal has passed by."""
    session, key = open_session(gateway, client)
    client.call("prompt.submit", session_id=session, text="tokens=20 rate=10")
    client.event("message.start")
    # The terminal's session is busy: what it does not take now it takes at its turn's end.
    gateway.do(put(of_chat("17", "tokens=17")))
    client.event("message.complete")
    # And once it is idle: it has passed the chat's when it has got its own.
    gateway.do(put(of_chat("18", "tokens=18")))
    gateway.do(put({"type": "completion", "output": "tokens=19", "session_key": key}))
    client.next(lambda frame: is_answer(frame, 19))


def test_background_results_of_terminals(shared: Gateway, client: Client) -> None:
    """A chat's turn does not throw away what a busy terminal's background work brings."""
    session, key = open_session(shared, client)
    client.call("prompt.submit", session_id=session, text="tokens=8 delay=3")
    client.event("message.start")

    shared.do(put({"type": "completion", "output": "tokens=21", "session_key": key}))
    shared.do('await adapter.say("tokens=5", chat="other")')
    wait_until(lambda: answer(5) in replies(shared), "the chat's reply")

    client.next(lambda frame: is_answer(frame, 21))


def test_chats_are_not_interactive(shared: Gateway, client: Client) -> None:
    """A chat that needs a secret is told how to give it; no terminal is asked."""
    open_session(shared, client)

    asked = shared.do(
        "import asyncio, tools.skills_tool as skills\n"
        'needs = [{"name": "SOME_SECRET", "prompt": "?"}]\n'
        "capture = skills._capture_required_environment_variables\n"
        'return await asyncio.to_thread(capture, "some-skill", needs)'
    )

    assert shared.do(FLAG) is None
    assert asked["missing_names"] == ["SOME_SECRET"]
    assert asked["gateway_setup_hint"]


def test_approvals_reach_the_terminal(shared: Gateway, client: Client) -> None:
    """Though the process is not interactive."""
    session, _key = open_session(shared, client)
    command = '{"command": "rm -rf /tmp/some-nonexistent-path-xyz"}'

    client.call("prompt.submit", session_id=session, text=f"tool=terminal args={command} tokens=12")
    client.event("approval.request")
    client.call("approval.respond", session_id=session, choice="once")

    assert text_of(client.events(until="message.complete")).strip() == answer(12)


def test_the_process_is_as_before(shared: Gateway, client: Client) -> None:
    """Stdout, exception hooks and signal handlers are the gateway's; no frame is printed."""
    session, _key = open_session(shared, client)
    client.call("prompt.submit", session_id=session, text="tokens=40 rate=20")
    client.event("message.delta")

    client.socket.close()
    wait_until(lambda: not shared.do(RUNNING), "the turn's end")

    assert shared.do("return process_state() == adapter.before")
    assert "jsonrpc" not in shared.server.output


def test_nobody_stops_the_gateway(shared: Gateway) -> None:
    """Twisted's reactor cannot be stopped while its loop is a gateway's."""
    shared.do("from twisted.internet import reactor\nreactor.stop()\nreactor.crash()")

    with contextlib.closing(shared.server.client().socket):
        assert "a call to stop the reactor was refused" in shared.log


def test_connected_again(shared: Gateway) -> None:
    """The platform can be disconnected and connected in one process."""
    first = shared.do(LEFT)
    for _ in range(3):
        client = shared.server.client()
        session, _key = open_session(shared, client)
        client.call("prompt.submit", session_id=session, text="tokens=5")
        assert text_of(client.events(until="message.complete")) == words(5)

        shared.do(ATTACH + "await attach.disconnect()")
        assert "is stopping" in client.notice()
        assert client.closed() == (1001, "the server is stopping")
        assert not is_open(shared.server.port)

        assert shared.do(ATTACH + "return await attach.connect()")
        assert shared.do(LEFT) == first


def test_second_profile(shared: Gateway) -> None:
    """One process, one attach server: another profile of the same gateway gets words."""
    found = shared.do(
        "from gateway.config import PlatformConfig\n"
        "from hermes_twisted.gateway.plugin import make_adapter\n"
        "second = make_adapter(PlatformConfig(enabled=True))\n"
        "connected = await second.connect()\n"
        "await second.disconnect()\n"
        "return [connected, second.fatal_error_code]"
    )

    assert found == [False, "attach_second"]
    with contextlib.closing(shared.server.client().socket):
        pass


def test_port_in_use(world: World, free_port: int, model: FakeModel) -> None:
    """Said in the gateway's status; the gateway goes on, and takes the port once it is free."""
    gateways.configure(world, NEWEST, model, "attach", "probe")
    with socket.create_server(("127.0.0.1", free_port)):
        gateway = gateways.start(world, NEWEST, free_port)
        found = gateway.wait_for("attach", "fatal")
        assert f"port {free_port}: Address already in use" in found["error_message"]
        assert found["error_code"] == "attach_start"
        gateway.wait_for("probe", "connected")

    gateway.do("for platform, failed in runner._failed_platforms.items(): failed['next_retry'] = 0")
    gateway.wait_for("attach", "connected")
    gateway.server.client()


@pytest.mark.parametrize("version", VERSIONS)
def test_refusal_of_the_only_platform(
    version: str, world: World, free_port: int, model: FakeModel
) -> None:
    """A gateway that has nothing else to connect goes on too: cron jobs need it."""
    gateways.configure(
        world, version, model, "attach", more="platforms: {attach: {extra: {prot: 1}}}\n"
    )
    gateway = gateways.start(world, version, free_port)

    gateway.wait_for("attach", "fatal")

    said = f"⚠ attach: {hosted.WHERE}: there is no setting 'prot'; did you mean port?"
    wait_until(
        lambda: said in gateways.hermes(world, version, "gateway", "status").stdout, "the status"
    )
    wait_until(lambda: "Press Ctrl+C to stop" in gateway.log, "the gateway's start")


def test_another_reactor(world: World, free_port: int, model: FakeModel) -> None:
    """Refused in words: a process has one reactor."""
    gateways.configure(world, NEWEST, model, "attach", "probe")
    gateway = gateways.start(world, NEWEST, free_port, PROBE_SPOILS="reactor")

    found = gateway.wait_for("attach", "fatal")

    assert found["error_code"] == "attach_reactor"
    assert "SelectReactor" in found["error_message"]
    assert "`hermes-attach serve`" in found["error_message"]
    assert not is_open(free_port)


@pytest.mark.parametrize("version", ["0.14.0", "0.15.2"])
def test_too_old(version: str, world: World, free_port: int, model: FakeModel) -> None:
    """Where chats cannot be protected the plugin serves nobody, and says what does."""
    gateways.configure(world, version, model, "attach")
    gateway = gateways.start(world, version, free_port)

    found = gateway.wait_for("attach", "fatal")

    assert "_notification_event_belongs_elsewhere" in found["error_message"]
    assert "`twistd hermes-attach`" in found["error_message"]
    assert not is_open(free_port)


@pytest.mark.parametrize("version", VERSIONS)
def test_stop(version: str, world: World, free_port: int, model: FakeModel) -> None:
    """Clients are told and closed with 1001, sessions are finalised.

    And the gateway's patience is not used up, though a turn runs that would last minutes.
    """
    gateway = gateways.run_gateway(world, version, free_port, model)
    client = gateway.server.client()
    session, key = open_session(gateway, client)
    client.call("prompt.submit", session_id=session, text="tokens=5")
    client.event("message.complete")
    wait_until(lambda: not gateway.do(RUNNING), "the turn's end")
    client.call("prompt.submit", session_id=session, text="tokens=3000 rate=10")
    client.event("message.delta")

    gateway.server.terminate()

    assert "is stopping" in client.notice()
    assert client.closed() == (1001, "the server is stopping")
    assert gateway.server.ended() == STOPPED
    assert "attach disconnect timed out" not in gateway.log
    with sqlite3.connect(world.home / "state.db") as database:
        query = "SELECT end_reason FROM sessions WHERE id = ?"
        assert database.execute(query, (key,)).fetchone() == ("tui_shutdown",)


def test_settings_of_config_yaml(world: World, free_port: int, model: FakeModel) -> None:
    """The options' names under `platforms.attach`; the environment wins."""
    more = (
        "platforms:\n  attach:\n    enabled: true\n    extra:\n"
        f"      listen: ['tcp:{free_port}:interface=127.0.0.1']\n      max-connections: 1\n"
    )
    gateways.configure(world, NEWEST, model, "attach", more=more)
    gateway = gateways.start(world, NEWEST, free_port, HERMES_ATTACH_PORT="")
    gateway.wait_for("attach", "connected")

    gateway.server.client()

    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        gateway.server.client()
    assert refused.value.response.status_code == 503


@pytest.mark.parametrize("version", VERSIONS)
def test_first_key(version: str, world: World, free_port: int, model: FakeModel) -> None:
    """None is made that nobody sees; once there is one the gateway serves, without a restart.

    The REST API server's key does not attach unless that is asked for.
    """
    world.without_key()
    gateways.configure(world, version, model, "attach", "probe")
    api = {"API_SERVER_ENABLED": "true", "API_SERVER_PORT": str(find_port())}
    gateway = gateways.start(world, version, free_port, API_SERVER_KEY=world.key, **api)
    found = gateway.wait_for("attach", "fatal")
    assert found["error_code"] == "attach_key"
    assert "hermes-attach key new NAME" in found["error_message"]
    gateway.wait_for("probe", "connected")
    wait_until(lambda: gateway.do("return len(runner._failed_platforms)"), "another try")

    made = gateways.hermes(world, version, "attach", "key", "new", "laptop", "--print").stdout
    gateway.do(AGAIN)
    gateway.wait_for("attach", "connected")

    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        gateway.server.client()
    assert refused.value.response.status_code == 401
    gateway.server.key = re.findall(r"hat_[\w-]+", made)[0]
    gateway.server.client()


def test_key_of_the_environment_is_taken_out(
    world: World, free_port: int, model: FakeModel
) -> None:
    """What the agent starts does not inherit it, and a second start still knows it."""
    world.without_key()
    gateway = gateways.run_gateway(world, NEWEST, free_port, model, HERMES_ATTACH_KEY=world.key)

    assert gateway.do('import os; return os.environ.get("HERMES_ATTACH_KEY")') is None

    assert gateway.do(ATTACH + "await attach.disconnect()\nreturn await attach.connect()")
    gateway.server.client()


@pytest.mark.parametrize("version", VERSIONS)
def test_command(version: str, world: World, model: FakeModel) -> None:
    """`hermes attach` is hermes-attach."""
    gateways.configure(world, version, model, "attach")

    assert "hermes-attach" in gateways.hermes(world, version, "attach", "--help").stdout
    assert "serve [options]" in gateways.hermes(world, version, "attach", "help").stdout
    serve = gateways.hermes(world, version, "attach", "serve", "--help")
    assert "--max-connections" in serve.stdout
    wrong = gateways.hermes(world, version, "attach", "nonsense")
    assert wrong.returncode == 2
    assert "There is no command 'nonsense'" in wrong.stdout
