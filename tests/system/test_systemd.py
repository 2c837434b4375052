"""As systemd runs it: told through a datagram socket, given its sockets and credentials.

systemd's end is played here, as sd_notify(3), sd_listen_fds(3) and systemd.exec(5) have it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import find_port

from .conftest import PATIENCE, Server, World, children, is_alive, is_open, wait_until

TWISTD = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach"]
SERVE = ["hermes-attach", "serve"]

#: Takes a descriptor of ours for its third, then becomes the command, as systemd does it.
_ACTIVATE = (
    "import os, sys; os.dup2(int(sys.argv[1]), 3);"
    "os.environ |= {'LISTEN_PID': str(os.getpid()), 'LISTEN_FDS': '1', 'LISTEN_FDNAMES': 'a'};"
    "os.execvp(sys.argv[2], sys.argv[2:])"
)


class Systemd:
    """Its end of the notification socket."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.heard: list[dict[str, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))

    def next(self) -> dict[str, str]:
        """One more message, by its assignments."""
        self._socket.settimeout(PATIENCE)
        lines = self._socket.recv(4096).decode().splitlines()
        message = dict(line.split("=", 1) for line in lines)
        self.heard.append(message)
        return message

    def wait_for(self, name: str) -> dict[str, str]:
        """The next message with this assignment; signs of life may come before it, nothing else."""
        while name not in (message := self.next()):
            assert message == {"WATCHDOG": "1"}, message
        return message

    def rest(self) -> list[dict[str, str]]:
        """What else has been said by now."""
        self._socket.setblocking(False)
        messages = []
        with contextlib.suppress(BlockingIOError):
            while text := self._socket.recv(4096).decode():
                messages.append(dict(line.split("=", 1) for line in text.splitlines()))
        return messages

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(world: World) -> Iterator[Systemd]:
    """The one that starts this world's servers, and wants to hear from them."""
    with contextlib.closing(Systemd(world.directory / "notify")) as listener:
        world.environment["NOTIFY_SOCKET"] = str(listener.path)
        yield listener


@pytest.mark.parametrize("command", [TWISTD, SERVE], ids=lambda c: c[0])
def test_notify(world: World, systemd: Systemd, free_port: int, command: list[str]) -> None:
    """`Type=notify`: ready when the port accepts, a reload with its time, a stop with more."""
    server = world.start([*command, f"--port={free_port}", "--drain=20"], free_port)

    ready = systemd.wait_for("READY")
    assert is_open(free_port)
    assert ready == {"READY": "1", "MAINPID": str(server.pid)}

    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    os.kill(server.pid, signal.SIGHUP)
    reloading = systemd.wait_for("RELOADING")
    assert before <= int(reloading["MONOTONIC_USEC"])
    assert int(reloading["MONOTONIC_USEC"]) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert systemd.next() == {"READY": "1"}

    server.terminate()
    stopping = systemd.wait_for("STOPPING")
    # The drain, and what a stop takes beyond it: TimeoutStopSec= would strike before.
    assert stopping["EXTEND_TIMEOUT_USEC"] == "35000000"
    assert server.ended() == -signal.SIGTERM
    assert systemd.rest() == []


def test_watchdog(world: World, systemd: Systemd, free_port: int) -> None:
    """`WatchdogSec=`: signs of life from the loop, also while a stop waits; none when it hangs."""
    world.environment["WATCHDOG_USEC"] = "200000"
    server = world.start([*TWISTD, f"--port={free_port}", "--drain=10m"], free_port)
    systemd.wait_for("READY")
    client = server.client()
    for _ in range(5):
        systemd.wait_for("WATCHDOG")

    client.request("block", name="gate", timeout=600)
    client.event("stub.blocked")
    server.terminate()
    systemd.wait_for("STOPPING")
    for _ in range(3):
        systemd.wait_for("WATCHDOG")
    client.request("open.respond", name="gate")
    client.closed()
    assert server.ended() == -signal.SIGTERM


def test_a_start_that_fails(world: World, systemd: Systemd) -> None:
    """It is never reported as ready, and its status says that it failed."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ended = world.run(*TWISTD, f"--port={taken.getsockname()[1]}")

    assert ended.returncode == 1
    assert "Address already in use" in ended.stdout
    assert not [message for message in systemd.rest() if "READY" in message]


def test_the_worker_is_not_told(world: World, systemd: Systemd, free_port: int) -> None:
    """Nothing of systemd's gets to Hermes: it could speak for us, or read our credentials."""
    credentials = world.directory / "credentials"
    credentials.mkdir()
    world.environment |= {"WATCHDOG_USEC": "30000000", "CREDENTIALS_DIRECTORY": str(credentials)}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = activate(world, listener)
        found = server.client().call("environment")
        names = ("NOTIFY_", "WATCHDOG_", "LISTEN_", "CREDENTIALS_", "INVOCATION_", "JOURNAL_")
        assert not [name for name in found["environ"] if name.startswith(names)]
        ours = f"socket:[{os.fstat(listener.fileno()).st_ino}]"
        for pid in children(server.pid):
            held = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir()}
            assert ours not in held
        held = {os.readlink(fd) for fd in Path(f"/proc/{server.pid}/fd").iterdir()}
        assert ours in held


def activate(world: World, listener: socket.socket, *options: str) -> Server:
    """Start a server that is given a socket which listens already."""
    domain = {socket.AF_INET: "INET", socket.AF_UNIX: "UNIX"}[listener.family]
    port = listener.getsockname()[1] if domain == "INET" else find_port()
    launcher = [sys.executable, "-c", _ACTIVATE, str(listener.fileno())]
    command = [*launcher, *SERVE, f"--listen=systemd:domain={domain}:index=0", *options]
    return world.start(command, port, pass_fds=(listener.fileno(),)).wait_for_log()


def ask(client: socket.socket) -> None:
    client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("domain", ["INET", "UNIX"])
def test_socket_activation(world: World, domain: str) -> None:
    """The socket outlives the server: who connects in between is served by the next one."""
    path = world.directory / "attach.sock"
    with contextlib.ExitStack() as stack:
        if domain == "INET":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            place: dict[str, Any] = {}
        else:
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(path))
            path.chmod(0o600)
            listener.listen()
            place = {"unix": path}
        first = activate(world, listener)
        client = first.client(**place)
        assert client.call("echo", n=1) == {"n": 1}

        first.terminate()
        assert client.closed()[0] == 1001
        assert first.ended() == -signal.SIGTERM
        between = stack.enter_context(socket.socket(listener.family))
        between.settimeout(PATIENCE)
        between.connect(listener.getsockname())
        ask(between)

        second = activate(world, listener)
        assert between.recv(15) == b"HTTP/1.1 200 OK"
        assert second.client(**place).call("echo", n=2) == {"n": 2}
        if domain == "UNIX":
            # SocketMode= is systemd's to set.
            assert path.stat().st_mode & 0o777 == 0o600


class TestCredentials:
    """`LoadCredential=`: a key in a directory of the service's own, perhaps readable by a group."""

    @pytest.fixture
    def credential(self, world: World) -> Path:
        """The world's key, as systemd hands it over."""
        directory = world.directory / "credentials"
        directory.mkdir()
        path = directory / "attach-key"
        path.write_text(world.key + "\n")
        path.chmod(0o440)
        world.without_key()
        return path

    def test_is_taken(self, world: World, free_port: int, credential: Path) -> None:
        world.environment["CREDENTIALS_DIRECTORY"] = str(credential.parent)

        server = world.twistd(free_port, f"--key-file={credential}")

        assert server.client().call("echo", n=1) == {"n": 1}

    def test_only_there(self, world: World, free_port: int, credential: Path) -> None:
        """Elsewhere such a file is refused: others can read it."""
        ended = world.run(*TWISTD, f"--port={free_port}", f"--key-file={credential}")

        assert ended.returncode == 1
        assert "chmod" in ended.stdout


def test_a_killed_server_leaves_nobody(world: World, systemd: Systemd, free_port: int) -> None:
    """The watchdog's SIGABRT ends it as a failure, which `Restart=on-failure` mends."""
    server = world.start([*TWISTD, f"--port={free_port}"], free_port)
    systemd.wait_for("READY")
    pids = wait_until(lambda: children(server.pid), "the worker")

    os.kill(server.pid, signal.SIGABRT)

    assert server.ended() == -signal.SIGABRT
    wait_until(lambda: not any(map(is_alive, pids)), "the worker to end")
