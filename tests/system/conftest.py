"""Real processes and real sockets: how to start a server, and how to talk to it."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pty
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions
from websockets.sync.client import connect, unix_connect

from tests.conftest import ROOT, STUB
from tests.fake_model import MODEL, FakeModel
from tests.system.turns import take_turns

Frame = dict[str, Any]

BIN = Path(sys.executable).parent
#: How long to wait for what has to happen; far more than it takes.
PATIENCE = 30.0


def wait_until(happened: Callable[[], Any], what: str, limit: float = PATIENCE) -> Any:
    """Poll until *happened* is true, and return what it returned."""
    end = time.monotonic() + limit
    while not (found := happened()):
        assert time.monotonic() < end, f"waited {limit:g} s in vain: {what}"
        time.sleep(0.02)
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for does not."""
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state not in "ZX"
    return False


def children(pid: int) -> list[int]:
    """The processes below *pid*, at any depth."""
    parents: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(stat.parent.name))
    below = list(parents.get(pid, []))
    for child in below:
        below += parents.get(child, [])
    return below


def command_line(pid: int) -> str:
    """What `ps` shows of a process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def is_open(where: int | Path) -> bool:
    """Whether somebody listens on a port or a Unix socket, whose file is there before that."""
    if isinstance(where, Path):
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(where)) == 0
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", where)) == 0


class Failed(Exception):
    """An error answer; `error` is its object."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(str(error))
        self.error = error


class Client:
    """A terminal UI's end of the socket. Frames that nobody asked for yet are kept."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.kept: list[Frame] = []
        self._ids = (f"r{number}" for number in itertools.count(1))

    def send(self, frame: Any) -> None:
        self.socket.send(json.dumps(frame))

    def request(self, method: str, **params: Any) -> str:
        """Send one request, and return its id."""
        request = next(self._ids)
        self.send({"jsonrpc": "2.0", "id": request, "method": method, "params": params})
        return request

    def answer(self, request: str | None, limit: float = PATIENCE) -> Frame:
        """The whole answer to a request."""
        return self.next(lambda frame: "method" not in frame and frame["id"] == request, limit)

    def call(self, method: str, **params: Any) -> Any:
        """The result of a request. Raises `Failed`."""
        answer = self.answer(self.request(method, **params))
        if "error" in answer:
            raise Failed(answer["error"])
        return answer["result"]

    def event(self, kind: str, limit: float = PATIENCE) -> dict[str, Any]:
        """The params of the next event of this kind."""
        return self.next(lambda frame: _kind(frame) == kind, limit)["params"]

    def events(self, *, until: str, limit: float = PATIENCE) -> list[dict[str, Any]]:
        """The params of all events up to the first of this kind, and of that one."""
        last = self.event(until, limit)
        found = [frame["params"] for frame in self.kept if "method" in frame]
        self.kept = [frame for frame in self.kept if "method" not in frame]
        return [*found, last]

    def notice(self) -> str:
        """The next line that the server itself shows the user."""
        message: str = self.event("browser.progress")["payload"]["message"]
        return message

    def next(self, wanted: Callable[[Frame], bool], limit: float = PATIENCE) -> Frame:
        """The first frame, kept or to come, that is *wanted*."""
        for frame in self.kept:
            if wanted(frame):
                self.kept.remove(frame)
                return frame
        end = time.monotonic() + limit
        while True:
            frame = json.loads(self.socket.recv(timeout=max(0.0, end - time.monotonic())))
            if wanted(frame):
                return frame
            self.kept.append(frame)

    def closed(self, limit: float = PATIENCE) -> tuple[int, str]:
        """Read to the end of the connection: its close code and reason."""
        try:
            self.next(lambda frame: False, limit)
        except websockets.exceptions.ConnectionClosed as closed:
            assert closed.rcvd is not None, "dropped without a close frame"
            return closed.rcvd.code, closed.rcvd.reason
        raise AssertionError("unreachable")


def _kind(frame: Frame) -> str | None:
    return frame["params"]["type"] if frame.get("method") == "event" else None


def text_of(events: list[dict[str, Any]], kind: str = "message.delta") -> str:
    """What was streamed, put together."""
    return "".join(event["payload"]["text"] for event in events if event["type"] == kind)


class Server:
    """One server process: twistd, twist or hermes-attach."""

    def __init__(self, world: World, command: list[str], port: int, **popen: Any) -> None:
        self.port = port
        self.key = world.key
        self.keys: dict[str, str] = {}
        self.output_path = world.directory / f"output-{port}"
        self.log_path = world.directory / f"log-{port}"
        self.pid_path = world.directory / f"pid-{port}"
        self.clients = contextlib.ExitStack()
        self._stopped = False
        with self.output_path.open("wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=popen.pop("stdin", subprocess.DEVNULL),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=world.directory,
                # No terminal: the lines with the key would go to the developer's.
                start_new_session=True,
                **{"env": world.environment, **popen},
            )
        self.pid = self.process.pid

    def use(self, scope: str) -> Server:
        """From now on clients come with the key of this *scope*; for `World.scoped`."""
        self.key = self.keys[scope]
        return self

    @property
    def output(self) -> str:
        """Everything that was printed or logged."""
        files = (self.output_path, self.log_path)
        return "".join(file.read_text() for file in files if file.exists())

    def wait_for_port(self) -> Server:
        wait_until(self._is_up, "the port to open")
        return self

    def wait_for_log(self, what: str = "listening on") -> Server:
        """The same, where the port is not one on 127.0.0.1; or wait for another line."""

        def logged() -> bool:
            assert is_alive(self.pid), f"the server has ended:\n{self.output}"
            return what in self.output

        wait_until(logged, what)
        return self

    def wait_for_daemon(self) -> Server:
        """The same, for one that goes into the background."""
        assert self.process.wait(PATIENCE) == 0, self.output
        self.pid = int(wait_until(self._read_pid, "the pid file"))
        return self.wait_for_port()

    def _is_up(self) -> bool:
        assert is_alive(self.pid), f"the server has ended:\n{self.output}"
        return is_open(self.port)

    def _read_pid(self) -> str:
        return self.pid_path.read_text() if self.pid_path.exists() else ""

    def client(
        self, *, ready: bool = True, unix: Path | None = None, url: str = "", **more: Any
    ) -> Client:
        """Attach; unless told otherwise, wait for `gateway.ready`. *more* goes to `connect`.

        *unix*: the socket, which need not be open yet.
        """
        options: dict[str, Any] = {
            "additional_headers": {"Authorization": f"Bearer {self.key}"},
            "compression": None,
            "max_size": None,
            "max_queue": None,
            "open_timeout": PATIENCE,
            "close_timeout": 1,
            **more,
        }
        if "ssl" in options:
            take_turns(options["ssl"])
        if unix is not None:
            wait_until(lambda: is_open(unix), "the socket")
            socket = unix_connect(str(unix), "ws://localhost/api/ws", **options)
        else:
            url = url or f"ws://127.0.0.1:{self.port}"
            socket = connect(f"{url}/api/ws", proxy=None, **options)
        client = Client(self.clients.enter_context(socket))
        if ready:
            client.event("gateway.ready")
        return client

    def terminate(self) -> None:
        """Ask it to stop."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def ended(self, limit: float = PATIENCE) -> int | None:
        """Wait for the end; the exit status, unless it is a daemon's."""
        self._stopped = True
        wait_until(lambda: self.process.poll() is not None, "the process to end", limit)
        wait_until(lambda: not is_alive(self.pid), "the daemon to end", limit)
        return self.process.returncode if self.pid == self.process.pid else None

    def close(self) -> None:
        """Stop it if it runs, leave nothing behind, and look for the key where it must not be."""
        family = [self.pid, *children(self.pid)]
        commands = "\n".join(map(command_line, family))
        try:
            if not self._stopped:
                self.terminate()
                self.ended()
        finally:
            self.clients.close()
            for pid in filter(is_alive, family):
                os.kill(pid, signal.SIGKILL)
            self.process.wait()
            print(self.output)  # Shown if the test fails.
        assert self.key not in commands
        assert self.key not in self.output
        assert "Unhandled" not in self.output
        assert "LEAKED" not in self.output


def kill_worker(server: Server) -> None:
    """End Hermes' process as the kernel does when memory runs out."""
    (worker,) = (pid for pid in children(server.pid) if "boot.py" in command_line(pid))
    os.kill(worker, signal.SIGKILL)


class World:
    """A directory, a home for Hermes and a key, for the servers of one test."""

    def __init__(self, directory: Path, *, key: str | None = None) -> None:
        self.directory = directory
        self.home = directory / "hermes"
        self.home.mkdir()
        self.key = key or secrets.token_urlsafe(32)
        self.key_file = directory / "key"
        self.key_file.touch(0o600)
        self.key_file.write_text(self.key + "\n")
        self.environment = {
            "PATH": f"{BIN}:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(directory),
            "HERMES_HOME": str(self.home),
            "HERMES_ATTACH_KEY_FILE": str(self.key_file),
            "LANG": "C.UTF-8",
        }
        self._servers: list[Server] = []

    def without_key(self) -> None:
        """As on the first start: there is no key yet."""
        del self.environment["HERMES_ATTACH_KEY_FILE"]

    def use_stub(self) -> None:
        """Serve the stub in the place of Hermes."""
        python = self.directory / "stub-python"
        python.write_text(f'#!/bin/sh\nPYTHONPATH="{STUB}" exec "{sys.executable}" "$@"\n')
        python.chmod(0o755)
        self.environment["HERMES_ATTACH_HERMES_PYTHON"] = str(python)

    def configure_hermes(self, model: FakeModel, python: Path) -> None:
        """Make the home of a real Hermes: a model that it can reach, and no network."""
        (self.home / "config.yaml").write_text(_CONFIG.format(model=MODEL, url=model.base_url))
        checked = {"ts": time.time(), "rev": None, "ver": python.parents[1].name, "behind": 0}
        (self.home / ".update_check").write_text(json.dumps(checked))
        self.environment["HERMES_ATTACH_HERMES_PYTHON"] = str(python)

    def start(self, command: list[str], port: int, **popen: Any) -> Server:
        """Start a server; the caller says what to wait for."""
        server = Server(self, command, port, **popen)
        self._servers.append(server)
        return server

    def twistd(self, port: int, *options: str, **popen: Any) -> Server:
        """`twistd --nodaemon hermes-attach`, once it listens."""
        command = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach"]
        if not any(option.startswith("--listen") for option in options):
            command.append(f"--port={port}")
        return self.start([*command, *options], port, **popen).wait_for_port()

    def scoped(self, port: int, *options: str) -> Server:
        """A server with a key for each scope: `server.use(scope)` says which clients have."""
        keys = {scope: secrets.token_urlsafe(32) for scope in ("full", "chat", "watch")}
        script = Path(__file__).with_name("scoped_server.py")
        environment = {
            **self.environment,
            "PYTHONPATH": str(ROOT),
            "SCOPED_KEYS": " ".join(f"{scope}={key}" for scope, key in keys.items()),
        }
        command = [sys.executable, str(script), f"--port={port}", *options]
        server = self.start(command, port, env=environment)
        server.keys = keys
        server.use("full")
        return server.wait_for_port()

    def run(self, *command: str, **more: Any) -> subprocess.CompletedProcess[str]:
        """Run what ends by itself."""
        return subprocess.run(
            command,
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE,
            start_new_session=True,
            **{"env": self.environment, **more},
        )

    def close(self) -> None:
        """End all of it."""
        with contextlib.ExitStack() as stack:
            for server in self._servers:
                stack.callback(server.close)


#: Takes standard input for its terminal, then becomes the command.
_TAKE_TERMINAL = (
    "import fcntl, os, sys, termios;"
    "fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    "os.execvp(sys.argv[1], sys.argv[1:])"
)


class Terminal:
    """A terminal that a server can be started in."""

    def __enter__(self) -> Terminal:
        self._ours, self._theirs = pty.openpty()
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._ours)
        os.close(self._theirs)

    def start(self, world: World, command: list[str], port: int) -> Server:
        return self.launch(world, command, port).wait_for_port()

    def launch(self, world: World, command: list[str], port: int) -> Server:
        """Start what need not listen."""
        launcher = [sys.executable, "-c", _TAKE_TERMINAL, *command]
        return world.start(launcher, port, stdin=self._theirs)

    def read_until(self, end: str) -> str:
        os.set_blocking(self._ours, False)
        text = ""

        def read() -> bool:
            nonlocal text
            try:
                text += os.read(self._ours, 4096).decode()
            except BlockingIOError:
                return False
            return end in text

        wait_until(read, f"{end} on the terminal")
        return text


_CONFIG = """\
model:
  default: {model}
  provider: custom
  base_url: {url}
  api_key: fake-key-for-tests
  context_length: 131072
approvals:
  mode: manual
security:
  tirith_enabled: false
  allow_lazy_installs: false
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A place for servers, before the stub unless a test decides otherwise."""
    with contextlib.closing(World(tmp_path)) as made:
        made.use_stub()
        yield made


@pytest.fixture(scope="session")
def model() -> Iterator[FakeModel]:
    """The model that a real Hermes talks to."""
    with FakeModel() as running:
        yield running
