"""Nothing that the server writes holds a secret, or what was said."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import resource
import signal
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from websockets.sync.client import connect

from hermes_twisted.operate.redaction import HIDDEN
from hermes_twisted.testing.wire import BINARY, TEXT, client_frame, handshake, request
from tests.conftest import hermes_python
from tests.fake_model import FakeModel
from tests.system.conftest import (
    PATIENCE,
    Client,
    Server,
    World,
    children,
    command_line,
    kill_worker,
    text_of,
    wait_until,
)

WRONG = "wrong-0123456789-ABCDEFGHIJ"
SAID = "perfectly private words"
#: Loaded by the front's Python alone: Autobahn then logs at its lowest level.
DEBUG = """\
import txaio
txaio.use_twisted()
txaio.set_global_log_level("debug")
"""
#: Besides, a page that leaks the key in every way there is.
PLANTED = """\
import os, sys, warnings
from twisted.logger import Logger
from twisted.python import log
from hermes_twisted.operate.status import Overview

ready = Overview.readiness

def leak(self):
    with open(os.environ["HERMES_ATTACH_KEY_FILE"]) as file:
        secret = file.read().strip()
    Logger().info("planted-1 {it}", it=secret)
    Logger().info("planted-2 " + secret)
    log.msg("planted-3", secret)
    print("planted-4", secret, flush=True)
    print("planted-5", secret, file=sys.stderr, flush=True)
    warnings.warn("planted-6 " + secret)
    try:
        raise ValueError("planted-7 " + secret)
    except ValueError:
        Logger().failure("a failure")
        log.err(None, "planted-8")
    return ready(self)

Overview.readiness = leak
"""


def encode_all(secret: str) -> str:
    """Every character percent-encoded."""
    return "".join(f"%{ord(letter):02X}" for letter in secret)


def forms(secret: str) -> Iterator[str]:
    """*secret* as it is, for a URL, and in base64, wherever in a text it began."""
    yield secret
    yield quote(secret, safe="")
    yield encode_all(secret)
    yield secret[::-1]
    for before in range(3):
        # The characters at both ends depend on what was beside it.
        yield base64.b64encode(b"x" * before + secret.encode()).decode()[4:-4]
    yield secret.encode().hex()


def run_with(world: World, code: str) -> None:
    """Have the front's Python run *code* at its start."""
    folder = world.directory / "site"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(code)
    world.environment["PYTHONPATH"] = str(folder)


def start(world: World, port: int, *, daemon: bool) -> Server:
    command = [
        "twistd",
        *([] if daemon else ["--nodaemon"]),
        f"--pidfile={world.directory / f'pid-{port}'}",
        f"--logfile={world.directory / f'log-{port}'}",
        "hermes-attach",
        f"--port={port}",
    ]
    server = world.start(command, port)
    return server.wait_for_daemon() if daemon else server.wait_for_port()


def ask(port: int, data: bytes) -> bytes:
    """What the server answers to these bytes."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as client:
        client.sendall(data)
        client.settimeout(PATIENCE)
        return client.recv(65536)


def attach(server: Server, query: str) -> Client:
    """As the stock terminal UI does: the key is in the URL."""
    url = f"ws://127.0.0.1:{server.port}/api/ws?{query}"
    client = Client(server.clients.enter_context(connect(url, compression=None, proxy=None)))
    client.event("gateway.ready")
    return client


def knock_everywhere(port: int, key: str) -> None:
    """Show a wrong key, and the right one in wrong places."""
    host = ("Host", f"127.0.0.1:{port}")
    for shown in (WRONG, key):
        places: list[tuple[str, list[tuple[str, str]]]] = [
            (f"/api/ws/{shown}", []),
            (f"/{shown}", []),
            (f"/api/ws?key={shown}", []),
            (f"/api/ws#token={shown}", []),
            (f"/api/ws?token={shown}#{shown}&token={shown}", []),
            (f"/api/ws?token={shown}&token={shown}", []),
            (f"/api/ws?token={shown}", [("Authorization", f"Bearer {shown}")]),
            (f"/api/ws?token={shown}", [("Origin", f"http://{shown}.example")]),
            (f"/api/ws?token={shown}", [("Host", f"{shown}.example")]),
            (f"/api/ws?TOKEN={shown}", []),
            (f"http://127.0.0.1/api/ws?token={shown}", []),
            ("/api/ws", [("Authorization", f"Basic {shown}")]),
            ("/api/ws", [("Cookie", f"token={shown}")]),
            ("/api/ws", [("X-Api-Key", shown), ("User-Agent", shown)]),
            ("/api/ws", [("Sec-WebSocket-Protocol", shown)]),
            ("/api/ws", [("Sec-WebSocket-Key", shown)]),
            ("/api/ws", [(shown, "x")]),
        ]
        for target, headers in places:
            answer = ask(port, handshake(target, [host, *headers]))
            assert not answer.startswith(b"HTTP/1.1 101")
            assert shown.encode() not in answer
        ask(port, request("POST", f"/?token={shown}", [host], shown.encode()))
        ask(port, request("GET", f"/health?token={shown}", [host]))
        ask(port, f"{shown} /{shown} {shown}\r\n\r\n".encode())
        ask(port, b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n" + shown.encode())
    for query in (f"token={WRONG}", f"token={encode_all(WRONG)}", f"%74%6Fken={WRONG}"):
        assert b" 401 " in ask(port, handshake(f"/api/ws?{query}", [host]))


def be_held(port: int, key: str) -> None:
    """A terminal UI with a wrong key, and the right one in its requests."""
    url = f"ws://127.0.0.1:{port}/api/ws?token={WRONG}"
    with connect(url, compression=None, proxy=None, user_agent_header="node") as held:
        assert WRONG not in str(held.recv(PATIENCE))
        held.send(json.dumps({"id": 1, "method": key, "params": {"text": SAID}}))


def speak_badly(server: Server, key: str) -> None:
    """A client with a valid key sends what is wrong, and private."""
    private = SAID.encode()
    frames = (
        client_frame(private),
        client_frame(b'{"id": 1, "method": "%b", "params": "%b"}' % (private, private)),
        client_frame(private, BINARY),
        client_frame(private + b"\xff", TEXT),
        client_frame(private, 3),
        client_frame(private, 9) + client_frame(b"\x03\xe8" + private, 8),
    )
    host = ("Host", f"127.0.0.1:{server.port}")
    hello = handshake("/api/ws", [host, ("Authorization", f"Bearer {key}"), ("Cookie", f"k={key}")])
    for frame in frames:
        with socket.create_connection(("127.0.0.1", server.port), PATIENCE) as client:
            client.sendall(hello)
            client.settimeout(PATIENCE)
            assert client.recv(4096).startswith(b"HTTP/1.1 101")
            client.sendall(frame + client_frame(b"\x03\xe8", 8))
            # Autobahn ends what it had to fail with a reset.
            with contextlib.suppress(ConnectionResetError):
                while client.recv(65536):
                    pass


def proc(pid: int, name: str) -> bytes:
    return Path(f"/proc/{pid}/{name}").read_bytes()


def is_ours(command: str) -> bool:
    """The front or its worker, not what Hermes has started."""
    return "hermes-attach" in command or "boot.py" in command


def shown_of_processes(server: Server) -> dict[str, str]:
    """What another process of this user can read of ours."""
    shown = {}
    for pid in [server.pid, *children(server.pid)]:
        if is_ours(command_line(pid)):
            for name in ("cmdline", "environ", "comm"):
                shown[f"{pid} {name}"] = proc(pid, name).decode("utf-8", "replace")
    return shown


def written_by(world: World, server: Server) -> dict[str, str]:
    """All that the server has written: logs, output, audit log, and whatever else there is."""
    files = [server.output_path, server.log_path, server.pid_path]
    files += [path for path in (world.home / "attach").rglob("*") if path.is_file()]
    files += [path for path in world.directory.glob("*.log*") if path.is_file()]
    return {str(path): path.read_text("utf-8", "replace") for path in files if path.exists()}


def audit_of(world: World) -> list[dict[str, Any]]:
    text = (world.home / "attach" / "audit.jsonl").read_text("ascii")
    return [json.loads(line) for line in text.splitlines()]


def assert_clean(shown: dict[str, str], *secrets: str) -> None:
    for where, text in shown.items():
        for secret in secrets:
            for form in forms(secret):
                assert form not in text, where


def assert_session_leaks_nothing(world: World, server: Server, converse: Any) -> None:
    """A whole life: refused clients, bad ones, a conversation, a crash, another one, a stop."""
    be_held(server.port, server.key)
    knock_everywhere(server.port, server.key)
    converse(attach(server, f"token={server.key}"))
    speak_badly(server, server.key)
    kill_worker(server)
    last = attach(server, f"%74oken={encode_all(server.key)}")
    converse(last)
    processes = shown_of_processes(server)
    server.terminate()
    assert last.closed()[0] == 1001
    server.ended()

    written = written_by(world, server)
    assert len(processes) == 6
    # The log would have told: it has Autobahn's debug lines.
    assert " debug autobahn: " in server.log_path.read_text()
    assert_clean({**written, **processes}, server.key, WRONG)
    assert_clean(written, SAID)
    # And not because of the second net.
    assert not [where for where, text in written.items() if HIDDEN in text]
    events = [event["event"] for event in audit_of(world)]
    assert {"admitted", "refused", "more-refused", "opened", "closed"} <= set(events)
    assert (events[0], events[-1]) == ("server-started", "server-stopped")
    assert events.count("opened") == events.count("closed") == events.count("admitted") == 8


@pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
def test_a_whole_session(world: World, free_port: int, daemon: bool) -> None:
    """With the stub, which answers with what it was told."""
    run_with(world, DEBUG)
    world.environment["HERMES_ATTACH_LOG_LEVEL"] = "debug"

    def converse(client: Client) -> None:
        assert client.call("echo", text=SAID) == {"text": SAID}

    server = start(world, free_port, daemon=daemon)

    assert_session_leaks_nothing(world, server, converse)


@pytest.mark.hermes
def test_a_whole_session_of_hermes(tmp_path: Path, model: FakeModel, free_port: int) -> None:
    """With a real Hermes, whose own files are its own affair."""
    python = hermes_python("0.19.0")
    world = World(tmp_path)
    try:
        world.configure_hermes(model, python)
        run_with(world, DEBUG)
        world.environment["HERMES_ATTACH_LOG_LEVEL"] = "debug"

        def converse(client: Client) -> None:
            session = client.call("session.create", cols=100)["session_id"]
            client.call("prompt.submit", session_id=session, text=f"{SAID} tokens=30")
            assert "w29" in text_of(client.events(until="message.complete"))

        assert_session_leaks_nothing(world, start(world, free_port, daemon=False), converse)
    finally:
        world.close()


@pytest.mark.parametrize("json_log", [False, True], ids=["text", "json"])
def test_the_second_net(world: World, free_port: int, json_log: bool) -> None:
    """What a library or the worker's output leaks all the same is redacted in every kind of log."""
    run_with(world, PLANTED + "\n" + _JSON_LOG.format(path=str(world.directory / "json.log")))
    log = "--logger=sitecustomize.json_log" if json_log else f"--logfile={world.directory}/text.log"
    command = ["twistd", "--nodaemon", "--pidfile=", log, "hermes-attach", f"--port={free_port}"]
    server = world.start(command, free_port).wait_for_port()
    client = attach(server, f"token={server.key}")
    host = ("Host", f"127.0.0.1:{free_port}")

    ask(free_port, request("GET", "/ready", [host]))
    client.call("print", text=f"planted-9 {server.key}")
    path = world.directory / ("json.log" if json_log else "text.log")
    wait_until(lambda: "planted-9" in path.read_text(), "the worker's line")

    text = path.read_text()
    assert server.key not in text
    for number in range(1, 10):
        assert f"planted-{number}" in text
    assert text.count(HIDDEN) >= 8


_JSON_LOG = """
def json_log():
    from twisted.logger import jsonFileLogObserver
    return jsonFileLogObserver(open({path!r}, "w", buffering=1), recordSeparator="")
"""


def test_a_key_from_the_environment_is_forgotten(world: World, free_port: int) -> None:
    """Not even the block that the process was started with has it."""
    world.without_key()
    world.environment["HERMES_ATTACH_KEY"] = world.key
    server = world.twistd(free_port)
    server.client()

    assert_clean(shown_of_processes(server), world.key)
    assert b"HERMES_HOME=" in proc(server.pid, "environ")


@pytest.mark.parametrize("existing", [None, 0o644])
@pytest.mark.parametrize("daemon", [False, True], ids=["foreground", "daemon"])
def test_modes(world: World, free_port: int, daemon: bool, existing: int | None) -> None:
    """Whatever the umask, nobody else can read what the server writes."""
    log = world.directory / f"log-{free_port}"
    if existing is not None:
        log.touch()
        log.chmod(existing)
    before = os.umask(0o022)
    try:
        server = start(world, free_port, daemon=daemon)
    finally:
        os.umask(before)
    server.client().call("echo")

    audit = world.home / "attach" / "audit.jsonl"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600
    assert stat.S_IMODE(audit.stat().st_mode) == 0o600
    assert stat.S_IMODE(audit.parent.stat().st_mode) == 0o700


def test_twistd_log_by_default(world: World, free_port: int) -> None:
    """A daemon's log without a name lands in the current directory, and is as private."""
    pid = world.directory / f"pid-{free_port}"
    command = ["twistd", f"--pidfile={pid}", "hermes-attach", f"--port={free_port}"]

    world.start(command, free_port).wait_for_daemon()

    assert stat.S_IMODE((world.directory / "twistd.log").stat().st_mode) == 0o600


def allow_core_files() -> None:
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (min(4096, hard) if hard >= 0 else 4096, hard))


def core_limit(pid: int) -> str:
    [line] = [line for line in proc(pid, "limits").decode().splitlines() if "core file" in line]
    return line.split()[4]


def test_core_files(world: World, free_port: int) -> None:
    """None of the front, whose memory has keys; the agent's programs get the user's limit."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("this machine allows no core files anyhow")
    server = world.twistd(free_port, preexec_fn=allow_core_files)

    worker = server.client().call("environment")["pid"]

    assert core_limit(server.pid) == "0"
    assert core_limit(worker) != "0"


def test_the_worker_inherits_no_descriptor(world: World, free_port: int) -> None:
    """No listening socket, no client's, no key file, no log: its pipes and its line to us."""
    server = start(world, free_port, daemon=False)
    others = [server.client() for _ in range(3)]

    worker = others[0].call("environment")["pid"]

    links = [os.readlink(link) for link in Path(f"/proc/{worker}/fd").iterdir()]
    sockets = [link for link in links if link.startswith("socket:")]
    files = [link for link in links if link.startswith("/") and link != "/dev/null"]
    assert len(sockets) == 1
    assert not [file for file in files if str(world.directory) in file]
    tcp = Path(f"/proc/{worker}/net/tcp").read_text().split()
    assert not [one for one in sockets if one.strip("socket:[]") in tcp]


@pytest.mark.parametrize("what", ["a directory in its place", "a full disk"])
def test_a_broken_audit_log_stops_nothing(world: World, free_port: int, what: str) -> None:
    """It is said once in the log, and clients are served."""
    audit = world.home / "attach" / "audit.jsonl"
    options: dict[str, Any] = {}
    if what == "a full disk":
        audit.parent.mkdir(mode=0o700)
        audit.write_text("x" * 100_000)
        options["preexec_fn"] = small_files
    else:
        audit.mkdir(parents=True)
    server = world.twistd(free_port, **options)

    for _ in range(3):
        assert server.client().call("echo", n=1) == {"n": 1}

    server.terminate()
    assert server.ended() == -signal.SIGTERM
    assert server.output.count("cannot be written") == 1


def small_files() -> None:
    """As on a full disk: no file can grow above 100,000 bytes."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))


def test_no_audit(world: World, free_port: int) -> None:
    """It can be switched off."""
    server = world.twistd(free_port, "--no-audit")
    server.client().call("echo")

    assert not list((world.home / "attach").glob("audit*"))
