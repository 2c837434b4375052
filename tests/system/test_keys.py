"""Keys that are made, revoked, rotated and expire while a real server runs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import websockets.exceptions
from websockets.sync.client import connect

from hermes_twisted.access import api_server
from hermes_twisted.access import store as keystore
from tests.conftest import hermes_python
from tests.system.conftest import (
    PATIENCE,
    Client,
    Server,
    Terminal,
    World,
    children,
    command_line,
)


def key(world: World, *arguments: str) -> str:
    """What `hermes-attach key` prints."""
    ended = world.run("hermes-attach", "key", *arguments)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout.strip()


def attach(server: Server, secret: str) -> Client:
    """As the stock UI does: the key is in the URL."""
    url = f"ws://127.0.0.1:{server.port}/api/ws?token={quote(secret, safe='')}"
    socket = connect(
        url, proxy=None, compression=None, max_size=None, open_timeout=PATIENCE, close_timeout=1
    )
    client = Client(server.clients.enter_context(socket))
    client.event("gateway.ready")
    return client


def is_refused(server: Server, secret: str) -> bool:
    try:
        attach(server, secret)
    except websockets.exceptions.InvalidStatus as refusal:
        assert refusal.response.status_code == 401
        return True
    return False


def assert_ends(client: Client, reason: str) -> None:
    assert reason in client.notice()
    assert client.closed() == (1008, reason)


def list_keys(world: World) -> dict[str, str]:
    """The state of the keys, by name; of several of one name the latest."""
    entries: list[dict[str, Any]] = json.loads(key(world, "list", "--json"))
    return {entry["name"]: entry["state"] for entry in entries}


@pytest.fixture
def served(world: World, free_port: int) -> tuple[World, Server, str]:
    """A server whose only keys are in the store, and the secret of the first."""
    world.without_key()
    secret = key(world, "new", "first", "--print")
    server = world.twistd(free_port)
    server.key = secret
    return world, server, secret


Served = tuple[World, Server, str]


def test_a_life(served: Served) -> None:
    """Made, used, revoked, made anew: the server follows without a restart or a signal."""
    world, server, first = served
    laptop = key(world, "new", "laptop", "--print", "--expires", "30d")
    client = attach(server, laptop)
    assert list_keys(world) == {"first": "active", "laptop": "active"}

    key(world, "revoke", "laptop")

    assert is_refused(server, laptop)
    assert client.call("echo", n=1) == {"n": 1}
    assert list_keys(world) == {"first": "active", "laptop": "revoked"}

    key(world, "revoke", "laptop", "--disconnect")
    assert_ends(client, "the key was revoked")
    assert attach(server, key(world, "new", "laptop", "--print")).call("echo", n=2) == {"n": 2}
    assert attach(server, first).call("echo", n=3) == {"n": 3}
    assert laptop not in server.output


def test_reload(served: Served) -> None:
    """SIGHUP after a change: who is attached stays, and gets the answers that were under way."""
    world, server, first = served
    laptop = key(world, "new", "laptop", "--print")
    clients = [attach(server, laptop), attach(server, first)]
    blocked = [client.request("block", name="gate") for client in clients]
    for client in clients:
        client.event("stub.blocked")

    key(world, "revoke", "laptop")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for_log("reloading")

    assert is_refused(server, laptop)
    clients[0].request("open.respond", name="gate")
    for client, request in zip(clients, blocked, strict=True):
        assert client.answer(request)["result"] == {"opened": True}
    assert "detached" not in server.output


def test_rotation(served: Served) -> None:
    """The old secret and its links are out, everybody else stays."""
    world, server, first = served
    old = key(world, "new", "laptop", "--print")
    clients = [attach(server, old), attach(server, old)]
    other = attach(server, first)

    new = key(world, "rotate", "laptop", "--disconnect", "--print")
    after = attach(server, new)

    assert is_refused(server, old)
    for client in clients:
        assert_ends(client, "the key was revoked")
    assert other.call("echo", n=1) == after.call("echo", n=1) == {"n": 1}


def test_expiry(served: Served) -> None:
    """A key ends by itself: the store says when, and nobody touches it then."""
    world, server, _first = served
    strict = key(world, "new", "strict", "--disconnect", "--print")
    short = key(world, "new", "short", "--print")
    ends, stays = attach(server, strict), attach(server, short)

    with keystore.changing(world.home) as store:
        soon = int(time.time()) + 2
        records = (
            replace(record, expires=soon if record.key.name in ("strict", "short") else None)
            for record in store.keys.records
        )
        store.write(replace(store.keys, records=tuple(records)))

    assert_ends(ends, "the key has expired")
    assert is_refused(server, strict)
    assert is_refused(server, short)
    assert stays.call("echo", n=1) == {"n": 1}
    assert list_keys(world) == {"first": "active", "strict": "expired", "short": "expired"}


def test_store_that_others_can_read(served: Served) -> None:
    """It admits nobody, and says so once, until it is right again."""
    world, server, first = served
    client = attach(server, first)
    path = keystore.store_path(world.home)

    path.chmod(0o644)
    assert is_refused(server, first)
    assert is_refused(server, first)
    assert client.call("echo", n=1) == {"n": 1}
    path.chmod(0o600)

    assert attach(server, first).call("echo", n=2) == {"n": 2}
    assert server.output.count(f"chmod 600 {path}") == 1


def test_key_file_beside_the_store(served: Served, world: World, free_port: int) -> None:
    """A key file is one more key; another secret in it counts at once."""
    world, server, first = served
    server.terminate()
    server.ended()
    server = world.twistd(free_port, f"--key-file={world.key_file}")
    assert attach(server, first).call("echo") == attach(server, world.key).call("echo") == {}

    other = "another-secret-0123456789"
    world.key_file.write_text(other)

    assert is_refused(server, world.key)
    assert attach(server, other).call("echo") == {}


def test_shown_on_a_terminal(served: Served) -> None:
    """What is shown is what admits, with the address that was named."""
    world, server, _first = served
    command = ["hermes-attach", "key", "new", "desk", f"--port={server.port}"]
    with Terminal() as terminal:
        shower = terminal.launch(world, command, server.port)
        shown = terminal.read_until("hermes --tui")
        assert shower.ended() == 0

    found = re.search(
        rf"export HERMES_TUI_GATEWAY_URL='ws://127\.0\.0\.1:{server.port}/api/ws\?token=(hat_[^']+)'",
        shown,
    )
    assert found is not None
    assert attach(server, found[1]).call("echo") == {}
    assert found[1] not in shower.output


def test_secrets_stay_here(world: World, free_port: int) -> None:
    """No secret is in the log, on a command line, or in the worker's environment."""
    api_key = "an api server's key: 100% & more"
    environment_key = "environment-key-0123456789"
    world.environment |= {"HERMES_ATTACH_KEY": environment_key, "API_SERVER_KEY": api_key}
    stored = key(world, "new", "laptop", "--print")
    server = world.twistd(free_port, "--accept-api-server-key")
    secrets = {
        "laptop": stored,
        "key-file": world.key,
        "environment": environment_key,
        "api-server": api_key,
    }

    clients = {name: attach(server, secret) for name, secret in secrets.items()}
    seen = clients["laptop"].call("environment")

    family = [server.pid, *children(server.pid)]
    commands = "\n".join(map(command_line, family))
    (worker,) = (pid for pid in family if "boot.py" in command_line(pid))
    environ = Path(f"/proc/{worker}/environ").read_bytes().decode()
    digests = [record.key.digest.hex() for record in keystore.read(world.home).records]
    for secret in [*secrets.values(), *digests]:
        for text in (server.output, commands, environ, str(seen)):
            assert secret not in text
            assert quote(secret, safe="") not in text
    for name in secrets:
        assert f"with key {name}" in server.output


def test_api_server_key_is_not_ours_by_itself(served: Served, free_port: int) -> None:
    """Without the option that key admits nobody, and is left to Hermes."""
    world, server, first = served
    server.terminate()
    server.ended()
    world.environment["API_SERVER_KEY"] = "0123456789abcdef"

    server = world.twistd(free_port)

    assert is_refused(server, "0123456789abcdef")
    environ = attach(server, first).call("environment")["environ"]
    assert environ["API_SERVER_KEY"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("api_key", "part"), [(None, "there is no API_SERVER_KEY"), ("changeme", "too weak")]
)
def test_no_api_server_key(world: World, free_port: int, api_key: str | None, part: str) -> None:
    """Asked for a key that is not there, or is weak, the server does not start."""
    if api_key is not None:
        world.environment["API_SERVER_KEY"] = api_key

    ended = world.run("twistd", "-n", "hermes-attach", "--accept-api-server-key")

    assert ended.returncode == 1
    assert part in ended.stdout.strip().splitlines()[-1]
    assert "Traceback" not in ended.stdout


_ASK_HERMES = """
import json, os
from pathlib import Path
from hermes_cli.env_loader import load_hermes_dotenv
load_hermes_dotenv(hermes_home=Path(os.environ["HERMES_HOME"]))
from gateway.config import Platform, load_gateway_config
from gateway.platforms.api_server import APIServerAdapter
found = load_gateway_config().platforms.get(Platform.API_SERVER)
key = APIServerAdapter(found)._api_key if found else os.environ.get("API_SERVER_KEY", "")
print(json.dumps(["the key", key]))
"""
_IN_CONFIG = "platforms:\n  api_server:\n    enabled: true\n    extra:\n      key: {}\n"
_KEY = "0123456789abcdef-"


@pytest.mark.hermes
@pytest.mark.parametrize("version", ["0.14.0", "0.19.0"])
@pytest.mark.parametrize(
    ("environment", "dotenv", "config"),
    [
        (_KEY + "1", None, None),
        (None, f"API_SERVER_KEY={_KEY}2\n", None),
        (_KEY + "3", f"API_SERVER_KEY={_KEY}4 # comment\n", None),
        (_KEY + "5", "OTHER=1\n", _IN_CONFIG.format("'" + _KEY + "6'")),
        (None, None, _IN_CONFIG.format("'" + _KEY + "7'")),
        (_KEY + "8", "API_SERVER_KEY=\n", _IN_CONFIG.format("'" + _KEY + "9'")),
        (None, f"export API_SERVER_KEY='{_KEY} #x'\n", None),
        (None, f'A={_KEY}\nAPI_SERVER_KEY="${{A}}b"\n', None),
        (None, f"API_SERVER_KEY={_KEY}ü\n", None),
    ],
)
def test_as_hermes_reads_it(
    tmp_path: Path,
    version: str,
    environment: str | None,
    dotenv: str | None,
    config: str | None,
) -> None:
    """From the same files and variables a real Hermes takes the same key."""
    python = hermes_python(version)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HERMES_HOME": str(tmp_path)}
    if environment is not None:
        environ["API_SERVER_KEY"] = environment
    for name, text in ((".env", dotenv), ("config.yaml", config)):
        if text is not None:
            (tmp_path / name).touch(0o600)
            (tmp_path / name).write_text(text)

    ours = api_server.read(tmp_path, environ).text

    printed = subprocess.run(
        [str(python), "-c", _ASK_HERMES],
        env=environ,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    theirs = next(line for line in printed.stdout.splitlines() if "the key" in line)
    assert json.loads(theirs) == ["the key", ours]
