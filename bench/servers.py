"""The servers that are compared: child processes on free loopback ports, or on a pipe."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import select
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from .clients import Client, PipeClient, connect, connect_many
from .machine import process_tree
from .targets import AIOHTTP, FLOOR, INPROCESS, PEER, PLAIN, STDIO, WORKER

ROOT: Final = Path(__file__).resolve().parent.parent
STUB: Final = str(ROOT / "tests" / "stub")
PEERS: Final = ROOT / "bench" / "peers"
#: Seconds that a server may take to start, and to stop before it is killed.
START_LIMIT: Final = 60.0
STOP_LIMIT: Final = 10.0

OUR_COMMAND: Final = "from hermes_twisted.cli.main import main; main()"
#: Without orjson where it is installed; `AUTOBAHN_USE_NVX=0` leaves out Autobahn's native code.
_PLAIN_COMMAND: Final = f"import sys; sys.modules['orjson'] = None; {OUR_COMMAND}"
#: All clients come from one address, and are more than the server admits by default.
_MANY: Final = ["--max-connections", "8192", "--max-connections-per-address", "8192"]
_INPROCESS: Final = ["--backend", "inprocess"]


class CannotStart(Exception):
    """A server did not start; the text has the end of its log."""


class Server:
    """A running server."""

    def __init__(
        self, process: subprocess.Popen[bytes], log: Path, port: int, key: str = ""
    ) -> None:
        self.process = process
        self.log = log
        self.port = port
        """On 127.0.0.1; 0 for a server on a pipe."""
        self.url = f"ws://127.0.0.1:{port}/api/ws" + (f"?token={key}" if key else "")

    @property
    def is_pipe(self) -> bool:
        """Whether there can be one client only."""
        return not self.port

    @property
    def pids(self) -> list[int]:
        """Its processes: the front, and the worker if it has one."""
        return process_tree(self.process.pid)

    async def connect(self) -> Client:
        """One client that has received its `gateway.ready`."""
        if not self.is_pipe:
            return await connect(self.url)
        assert self.process.stdin is not None and self.process.stdout is not None
        return PipeClient(self.process.stdout.fileno(), self.process.stdin.fileno())

    async def connect_many(self, count: int, at_once: int = 8) -> list[Client]:
        """*count* clients, with *at_once* handshakes under way."""
        return await connect_many(self.url, count, at_once)

    def stop(self) -> None:
        """Terminate it; kill it after `STOP_LIMIT`."""
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                pipe.close()


#: Starts a server that keeps its files in this new directory.
Start = Callable[[Path], Server]


def before_stub(hermes_python: Path | None) -> dict[str, Start]:
    """All servers, with the tests' stub of Hermes; P1 and P3 only with a *hermes_python*.

    Our worker runs under that Python, too: usually without a fast JSON library.
    """
    stub, here = {"PYTHONPATH": STUB}, sys.executable
    found = {
        WORKER: _worker_with_stub(hermes_python or Path(here)),
        INPROCESS: _ours(here, _INPROCESS, stub),
        PLAIN: _ours(here, _INPROCESS, {**stub, "AUTOBAHN_USE_NVX": "0"}, _PLAIN_COMMAND),
        AIOHTTP: _peer(here, "p2_aiohttp.py", stub),
        FLOOR: _peer(here, "p4_picows.py", stub),
    }
    if hermes_python is not None:
        found[PEER] = _peer(str(hermes_python), "p1_uvicorn.py", stub)
        command = [str(hermes_python), str(PEERS / "p3_stdio.py")]
        found[STDIO] = lambda place: start_on_pipe(command, environment(place, **stub))
    return found


def before_hermes(hermes_python: Path, gateway_python: Path | None) -> dict[str, Start]:
    """P1 and ours with the real Hermes of these environments.

    That of *gateway_python* has what this project needs, for Hermes in our process.
    """
    worker = ["--backend", "worker", "--hermes-python", str(hermes_python)]
    found = {
        WORKER: _ours(sys.executable, worker, {}),
        PEER: _peer(str(hermes_python), "p1_uvicorn.py", {}),
    }
    if gateway_python is not None:
        found[INPROCESS] = _ours(str(gateway_python), _INPROCESS, {"PYTHONPATH": str(ROOT)})
    return found


def _ours(
    python: str, options: Sequence[str], variables: Mapping[str, str], run: str = OUR_COMMAND
) -> Start:
    def start(place: Path) -> Server:
        port, key = free_port(), secrets.token_urlsafe(32)
        command = [python, "-c", run, "serve", "--port", str(port), "--hermes-home", str(place)]
        settings = environment(place, HERMES_ATTACH_KEY=key, **variables)
        return start_listening([*command, *_MANY, *options], settings, port, "/ready", key)

    return start


def _worker_with_stub(python: Path) -> Start:
    def start(place: Path) -> Server:
        # The worker's environment has no PYTHONPATH of ours, so its interpreter brings the stub.
        wrapper = place / "python"
        stub, real = shlex.quote(STUB), shlex.quote(str(python))
        wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={stub} exec {real} "$@"\n')
        wrapper.chmod(0o700)
        options = ["--backend", "worker", "--hermes-python", str(wrapper)]
        return _ours(sys.executable, options, {})(place)

    return start


def _peer(python: str, script: str, variables: Mapping[str, str]) -> Start:
    def start(place: Path) -> Server:
        port = free_port()
        command = [python, str(PEERS / script), str(port)]
        return start_listening(command, environment(place, **variables), port, "/health")

    return start


@contextlib.contextmanager
def running(starts: Mapping[str, Start], place: Path) -> Iterator[dict[str, Server]]:
    """All servers, each in a directory of its own below *place*. Raises `CannotStart`."""
    with contextlib.ExitStack() as stack:
        servers: dict[str, Server] = {}
        for name, start in starts.items():
            (place / name).mkdir(parents=True)
            servers[name] = start(place / name)
            stack.callback(servers[name].stop)
        yield servers


def environment(place: Path, **more: str) -> dict[str, str]:
    """The variables of a server: none of our settings, and *place* as its home."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(place), "HERMES_HOME": str(place), **more}


def start_listening(
    command: Sequence[str], variables: Mapping[str, str], port: int, page: str, key: str = ""
) -> Server:
    """Run *command* and wait until *page* answers 200. Raises `CannotStart`."""
    log = Path(variables["HOME"]) / f"log-{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = Server(process, log, port, key)
    wait_until_ok(server, port, page)
    return server


def wait_until_ok(server: Server, port: int, page: str) -> None:
    """Wait until *server*'s process answers 200. Stops it and raises `CannotStart` otherwise."""
    deadline = time.monotonic() + START_LIMIT
    while not _is_ok(port, page):
        if server.process.poll() is not None or time.monotonic() > deadline:
            raise _cannot_start(server)
        time.sleep(0.05)


def start_on_pipe(command: Sequence[str], variables: Mapping[str, str]) -> Server:
    """Run *command* and wait for its first line. Raises `CannotStart`."""
    log, pipe = Path(variables["HOME"]) / "log", subprocess.PIPE
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=variables, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=output, bufsize=0
        )
    server = Server(process, log, 0)
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], START_LIMIT)
    if not ready or b'"gateway.ready"' not in process.stdout.readline():
        raise _cannot_start(server)
    return server


def _cannot_start(server: Server) -> CannotStart:
    server.stop()
    command = shlex.join(map(str, server.process.args))  # type: ignore[arg-type]
    return CannotStart(f"{command}\n{server.log.read_text()[-2000:]}")


def _is_ok(port: int, page: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", page)
        return connection.getresponse().status == http.HTTPStatus.OK
    return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
