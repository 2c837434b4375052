"""The servers as child processes on free loopback ports, all before the same stub of Hermes."""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from . import procfs

ROOT: Final = Path(__file__).resolve().parent.parent
STUB: Final = ROOT / "tests" / "stub"
#: Seconds that a server may take to start, and to stop before it is killed.
START_LIMIT: Final = 30.0
STOP_LIMIT: Final = 10.0

WORKER: Final = "worker"
INPROCESS: Final = "inprocess"
PEER: Final = "P1"

_RUN: Final = "from hermes_twisted.cli import main; main()"


class CannotServe(Exception):
    """A server did not start; the text has its last words."""


@dataclass
class Server:
    """One that runs."""

    process: subprocess.Popen[bytes]
    port: int
    key: str

    @property
    def url(self) -> str:
        """Where a client attaches, key included."""
        return f"ws://127.0.0.1:{self.port}/api/ws?token={self.key}"

    @property
    def pids(self) -> list[int]:
        """Its processes: the front, and the worker if it has one."""
        return procfs.family(self.process.pid)

    def stop(self) -> None:
        """End it, politely first."""
        self.process.terminate()
        try:
            self.process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


#: Starts a server that keeps its files in this new directory.
Start = Callable[[Path], Server]


def starters(peer_python: Path | None) -> dict[str, Start]:
    """How to start each server. The worker runs under Hermes' Python when one is named."""
    python = peer_python or Path(sys.executable)
    found: dict[str, Start] = {
        WORKER: lambda place: _start_worker(place, python),
        INPROCESS: _start_inprocess,
    }
    if peer_python is not None:
        found[PEER] = lambda place: _start_peer(place, peer_python)
    return found


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


def _start_worker(place: Path, python: Path) -> Server:
    # The worker's environment has no PYTHONPATH of ours, so its interpreter brings the stub.
    wrapper = place / "python"
    stub, real = shlex.quote(str(STUB)), shlex.quote(str(python))
    wrapper.write_text(f'#!/bin/sh\nPYTHONPATH={stub} exec {real} "$@"\n')
    wrapper.chmod(0o700)
    return _start_ours(place, ["--backend", "worker", "--hermes-python", str(wrapper)], {})


def _start_inprocess(place: Path) -> Server:
    return _start_ours(place, ["--backend", "inprocess"], {"PYTHONPATH": str(STUB)})


def _start_ours(place: Path, options: Sequence[str], extra: Mapping[str, str]) -> Server:
    port, key = _free_port(), secrets.token_urlsafe(32)
    command = [sys.executable, "-c", _RUN, "serve", "--port", str(port)]
    command += ["--hermes-home", str(place), *options]
    environment = {**_environment(place), "HERMES_ATTACH_KEY": key, **extra}
    return _started(command, environment, place, port, key, "/ready")


def _start_peer(place: Path, python: Path) -> Server:
    port = _free_port()
    command = [str(python), str(ROOT / "bench" / "peer.py"), str(port)]
    environment = {**_environment(place), "PYTHONPATH": str(STUB)}
    return _started(command, environment, place, port, "", "/health")


def _environment(place: Path) -> dict[str, str]:
    """Little of ours: no settings, no paths, an empty home of Hermes."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "HOME": str(place), "HERMES_HOME": str(place)}


def _started(
    command: Sequence[str],
    environment: Mapping[str, str],
    place: Path,
    port: int,
    key: str,
    page: str,
) -> Server:
    """Run *command* and wait until *page* says 200. Raises `CannotServe`."""
    log = place / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    server = Server(process, port, key)
    deadline = time.monotonic() + START_LIMIT
    while not _says_ok(port, page):
        if process.poll() is not None or time.monotonic() > deadline:
            server.stop()
            raise CannotServe(f"{shlex.join(command)}\n{log.read_text()[-2000:]}")
        time.sleep(0.05)
    return server


def _says_ok(port: int, page: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", page)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
