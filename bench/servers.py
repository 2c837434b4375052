"""The servers that are compared: child processes on free loopback ports, or on a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import os
import secrets
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from .machine import process_tree
from .targets import PEER, STDIO, WORKER
from .traffic import PipeClient, status

ROOT: Final = Path(__file__).resolve().parent.parent
STUB: Final = str(ROOT / "tests" / "stub")
#: Admits clients of all servers that want one.
KEY: Final = secrets.token_urlsafe(32)

OUR_COMMAND: Final = "from hermes_twisted.cli.main import main; main()"
#: All clients come from one address, and are more than the server admits by default.
_MANY: Final = ["--max-connections", "8192", "--max-connections-per-address", "8192"]


class Server:
    """A running server that keeps its files in *place*.

    It listens on *port* of 127.0.0.1, and its *page* answers 200 when it is ready; without a
    port it serves one client on its standard input and output.
    """

    def __init__(
        self, place: Path, command: Sequence[str | Path], port: int, page: str, **variables: str
    ) -> None:
        self.port = port
        self.url = f"ws://127.0.0.1:{port}/api/ws?token={KEY}"
        self.log = place / f"log-{port}"
        homes = {"HOME": str(place), "HERMES_HOME": str(place), "HERMES_ATTACH_KEY": KEY}
        env = {"PATH": os.environ["PATH"], **homes, **variables}
        with self.log.open("wb") as log:
            out = log if port else subprocess.PIPE
            self.process = subprocess.Popen(
                command, cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=out, stderr=log, bufsize=0
            )
        if port:
            self.wait_until_ok(port, page)
        else:
            assert b'"gateway.ready"' in self.process.stdout.readline()
        self.pids = process_tree(self.process.pid)
        """Its processes: the front, and the worker if it has one."""

    def wait_until_ok(self, port: int, page: str) -> None:
        """Wait until the process answers 200. Raises `RuntimeError` if it ends before."""
        while self.process.poll() is None:
            with contextlib.suppress(OSError, http.client.HTTPException):
                if status(port, page) == http.HTTPStatus.OK:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"{self.process.args}\n{self.log.read_text()[-2000:]}")

    async def connect(self) -> Any:
        """Return a client that has received its `gateway.ready`."""
        from .websocket import connect  # Its library is not needed for tests.

        if self.port:
            return await connect(self.url)
        return PipeClient(self.process.stdout.fileno(), self.process.stdin.fileno())

    async def connect_many(self, count: int, at_once: int = 8) -> list[Any]:
        """Return *count* clients, with *at_once* handshakes under way."""
        clients: list[Any] = []
        while len(clients) < count:
            some = min(at_once, count - len(clients))
            clients += await asyncio.gather(*(self.connect() for _ in range(some)))
        return clients

    def stop(self) -> None:
        self.process.terminate()
        self.process.communicate()


def start(
    name: str, place: Path, python: str | Path, gateway: str | Path = "", model: str = ""
) -> Server:
    """Start a server before the stub, or before a real Hermes whose model is at the URL *model*.

    P1, P3 and our worker run under *python*, usually without a fast JSON library. *gateway* has
    what this project needs, too: for a real Hermes in our process.
    """
    place.mkdir(parents=True)
    variables = {} if model else {"PYTHONPATH": STUB}
    if model:
        configure(place, model)
    port = 0 if name == STDIO else free_port()
    for script in (ROOT / "bench" / "peers").glob(f"{name.lower()}_*.py"):
        interpreter = python if name in (PEER, STDIO) else sys.executable
        return Server(place, [interpreter, script, str(port)], port, "/health", **variables)
    interpreter, options = sys.executable, ["--backend", "inprocess"]
    if name == WORKER:
        # A worker's environment has no PYTHONPATH of ours: its interpreter brings the stub.
        wrapper = place / "python"
        stub = "" if model else f"PYTHONPATH={shlex.quote(STUB)} "
        wrapper.write_text(f'#!/bin/sh\n{stub}exec {shlex.quote(str(python))} "$@"\n')
        wrapper.chmod(0o700)
        options = ["--backend", "worker", "--hermes-python", str(wrapper)]
    elif model:
        interpreter = gateway
    command = [interpreter, "-c", OUR_COMMAND, "serve", "--port", str(port), *_MANY, *options]
    return Server(place, command, port, "/ready", **variables)


def configure(home: Path, url: str, *plugins: str) -> None:
    """Write a Hermes home whose model is at *url*; Hermes asks no other host."""
    model = {"default": "fake-model", "provider": "custom", "base_url": url, "api_key": "none"}
    config = {
        "model": {**model, "context_length": 131072},
        "security": {"tirith_enabled": False, "allow_lazy_installs": False},
        "plugins": {"enabled": plugins},
    }
    (home / "config.yaml").write_text(json.dumps(config))  # Which is YAML, too.
    # As if Hermes had just asked whether there is a newer release: it does not ask.
    checked = {"ts": time.time(), "rev": None, "ver": "0", "behind": 0}
    (home / ".update_check").write_text(json.dumps(checked))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
