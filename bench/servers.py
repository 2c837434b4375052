"""Servers as child processes on free loopback ports, or on pipes."""

from __future__ import annotations

import contextlib
import http.client
import os
import select
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final

from . import procfs
from .client import connect, connect_many
from .pipe import PipeClient
from .talk import Talk

ROOT: Final = Path(__file__).resolve().parent.parent
#: Seconds that a server may take to start, and to stop before it is killed.
START_LIMIT: Final = 60.0
STOP_LIMIT: Final = 10.0


class CannotServe(Exception):
    """A server did not start; the text has its last words."""


class Server:
    """One that runs."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, key: str = "") -> None:
        self.process = process
        self.port = port
        """On 127.0.0.1; 0 for one on a pipe."""
        self.url = f"ws://127.0.0.1:{port}/api/ws" + (f"?token={key}" if key else "")

    @property
    def is_pipe(self) -> bool:
        """Whether there can be one client only."""
        return not self.port

    @property
    def pids(self) -> list[int]:
        """Its processes: the front, and the worker if it has one."""
        return procfs.family(self.process.pid)

    async def connect(self) -> Talk:
        """One client that has got its `gateway.ready`."""
        if not self.is_pipe:
            return await connect(self.url)
        assert self.process.stdin is not None and self.process.stdout is not None
        return PipeClient(self.process.stdout.fileno(), self.process.stdin.fileno())

    async def connect_many(self, count: int, at_once: int = 8) -> list[Talk]:
        """So many of them, a few handshakes at a time."""
        return [*await connect_many(self.url, count, at_once)]

    def stop(self) -> None:
        """End it, politely first."""
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


@contextlib.contextmanager
def running(starts: Mapping[str, Start], place: Path) -> Iterator[dict[str, Server]]:
    """All of them, each in a directory of its own below *place*."""
    servers: dict[str, Server] = {}
    try:
        for name, start in starts.items():
            home = place / name
            home.mkdir(parents=True)
            servers[name] = start(home)
        yield servers
    finally:
        for server in servers.values():
            server.stop()


def environment(place: Path, **more: str) -> dict[str, str]:
    """Little of ours: no settings, no paths, and *place* for a home of Hermes."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(place), "HERMES_HOME": str(place), **more}


def start_listening(
    command: Sequence[str], variables: Mapping[str, str], port: int, page: str, key: str = ""
) -> Server:
    """Run *command* and wait until *page* says 200. Raises `CannotServe`."""
    log = _log(variables)
    with log.open("wb") as output:
        process = _spawn(command, variables, subprocess.DEVNULL, output, subprocess.STDOUT)
    server = Server(process, port, key)
    deadline = time.monotonic() + START_LIMIT
    while not _says_ok(port, page):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise _cannot_serve(command, log)
        time.sleep(0.05)
    return server


def start_on_pipe(command: Sequence[str], variables: Mapping[str, str]) -> Server:
    """Run *command* and wait for its first line. Raises `CannotServe`."""
    log = _log(variables)
    with log.open("wb") as output:
        process = _spawn(command, variables, subprocess.PIPE, subprocess.PIPE, output)
    server = Server(process, 0)
    assert process.stdout is not None
    first = b""
    if select.select([process.stdout], [], [], START_LIMIT)[0]:
        first = process.stdout.readline()
    if b'"gateway.ready"' not in first:
        server.stop()
        raise _cannot_serve(command, log)
    return server


def _log(variables: Mapping[str, str]) -> Path:
    return Path(variables["HOME"]) / "log"


def _spawn(
    command: Sequence[str],
    variables: Mapping[str, str],
    stdin: int,
    stdout: int | IO[bytes],
    stderr: int | IO[bytes],
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, env=variables, cwd=ROOT, stdin=stdin, stdout=stdout, stderr=stderr, bufsize=0
    )


def _cannot_serve(command: Sequence[str], log: Path) -> CannotServe:
    return CannotServe(f"{shlex.join(command)}\n{log.read_text()[-2000:]}")


def _says_ok(port: int, page: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", page)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
