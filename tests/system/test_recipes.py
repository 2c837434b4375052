"""`docs/deploy.md` and `examples/`: behind real proxies, over SSH, many behind one address."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import websockets.exceptions

from hermes_twisted.limits import Limits
from tests.conftest import find_port
from tests.system.conftest import PATIENCE, Server, World, is_open, wait_until
from tests.system.proxies import (
    ELSEWHERE,
    EXAMPLES,
    Proxy,
    caddy,
    haproxy,
    haproxy_gateways,
    need,
    nginx,
    tell_haproxy,
)

#: What the examples' first lines tell to start the server with; the name is this machine's.
FORWARDED = ("--allow-host=localhost", "--trust-forwarded-from=127.0.0.1")
Recipe = Callable[[World, int], AbstractContextManager[Proxy]]

RECIPES: dict[str, Recipe] = {
    "nginx": nginx,
    "nginx-prefix": lambda world, port: nginx(world, port, prefix="/hermes"),
    "caddy": caddy,
    "caddy-prefix": lambda world, port: caddy(world, port, prefix="/hermes"),
    "haproxy": haproxy,
}
each = pytest.mark.parametrize("name", RECIPES)


def server_for(
    name: str, world: World, *, pings: float | None = None, ready: bool = True
) -> Server:
    """A server as the example wants it; *pings* seconds between pings instead of 20."""
    port = find_port()
    if name.startswith("haproxy"):
        listen = f"--listen=haproxy:tcp:{port}:interface=127.0.0.1"
        options = ["--allow-host=localhost", listen]
    else:
        options = [f"--port={port}", *FORWARDED]
    if pings is not None:
        options.append(f"--ping-interval={pings}")
    command = ["hermes-attach", "serve", *options]
    server = world.start(command, port).wait_for_port()
    if ready:  # Health checks ask for it.
        wait_until(lambda: "Hermes is ready" in server.output, "Hermes to be loaded")
    return server


def client_in_log(server: Server) -> str:
    (line,) = [line for line in server.output.splitlines() if "seat 1 attached from" in line]
    return line.partition("attached from ")[2]


@each
def test_attach(name: str, world: World) -> None:
    """Upgrade, path, Host and TLS pass; the server knows the client, whatever it claims to be."""
    server = server_for(name, world)
    with RECIPES[name](world, server.port) as proxy:
        client = proxy.client(world.key, forged="198.51.100.1")

        assert client.call("echo", n=1) == {"n": 1}
        assert client.call("result.of_size", bytes=300_000)
        assert client_in_log(server).startswith(ELSEWHERE)


@each
def test_the_key_is_in_no_log(name: str, world: World) -> None:
    """Neither an attach, nor a refusal, nor a server that is down put it into a proxy's log."""
    server = server_for(name, world)
    with RECIPES[name](world, server.port) as proxy:
        proxy.client(world.key).socket.close()
        with pytest.raises(websockets.exceptions.InvalidStatus):
            proxy.client(world.key + "x")
        server.terminate()
        server.ended()
        with pytest.raises(websockets.exceptions.InvalidStatus) as down:
            proxy.client(world.key)
        assert down.value.response.status_code in (502, 503)
        proxy.clients.close()
        proxy.process.terminate()
        proxy.process.wait(PATIENCE)
        if name in ("nginx", "haproxy"):
            assert "/api/ws" in proxy.log  # There is a log, so its silence means something.
        assert world.key not in proxy.log


@each
def test_the_doctor_through_a_proxy(name: str, world: World) -> None:
    """It sees the server through the proxy, and, when that is down, which of the two is."""
    server = server_for(name, world)
    with RECIPES[name](world, server.port) as proxy:
        proxy.client(world.key).socket.close()
        well = doctor(world, proxy)
        server.terminate()
        server.ended()
        down = doctor(world, proxy)

    assert (well["problems"], well["warnings"]) == (0, 0), well
    assert any("upgraded by hermes-attach" in found["what"] for found in well["findings"])
    assert down["problems"] == 1
    assert "A proxy answers" in down["findings"][-1]["why"]


def doctor(world: World, proxy: Proxy, **query: str) -> dict[str, Any]:
    environ = {
        **world.environment,
        "HERMES_TUI_GATEWAY_URL": proxy.url(world.key, **query),
        "NODE_EXTRA_CA_CERTS": str(proxy.authority.certificate),
    }
    done = world.run("hermes-attach", "doctor", "--json", "--seconds=0.4", env=environ)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("name", ["nginx", "haproxy"])
def test_quiet_terminals(name: str, world: World) -> None:
    """The server's pings keep a quiet terminal attached beyond the proxy's time for idle ones.

    Shown with both times shortened; without pings the same proxy does cut.
    """
    recipe = {"nginx": nginx, "haproxy": haproxy}[name]
    pinging, silent = server_for(name, world, pings=0.3), server_for(name, world)
    with recipe(world, pinging.port, idle="4s") as proxy:
        quiet = proxy.client(world.key)
        with recipe(world, silent.port, idle="4s") as control:
            for _ in range(2):
                cut = control.client(world.key)
                with pytest.raises(websockets.exceptions.ConnectionClosed):
                    cut.next(lambda frame: False)
        assert quiet.call("echo", n=1) == {"n": 1}


@pytest.mark.parametrize(
    "name", ["nginx.conf", "nginx-prefix.conf", "haproxy.cfg", "haproxy-gateways.cfg"]
)
def test_the_examples_wait_long_enough(name: str) -> None:
    """In the examples three pings may be late before a proxy cuts."""
    text = (EXAMPLES / name).read_text()
    times = [
        int(line.split()[-1].rstrip("s;"))
        for line in text.splitlines()
        if line.strip().startswith(("proxy_read_timeout", "timeout tunnel"))
    ]

    assert times
    assert all(time > 3 * Limits().ping_interval for time in times)


def test_a_proxy_with_defaults(world: World) -> None:
    """nginx without the upgrade lines: the doctor names what is missing."""
    server = server_for("nginx", world)
    folder = world.directory / "examples"
    folder.mkdir()
    lines = (EXAMPLES / "nginx.conf").read_text().splitlines()
    needed = ("proxy_http_version", "proxy_set_header Upgrade", "proxy_set_header Connection")
    left = [line for line in lines if not line.strip().startswith(needed)]
    assert len(left) == len(lines) - 3
    (folder / "nginx.conf").write_text("\n".join(left))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.system.proxies.EXAMPLES", folder)
        with nginx(world, server.port) as proxy:
            found = doctor(world, proxy)

    assert "proxy_http_version 1.1" in found["findings"][-1]["next"]


# Many gateways.


class Caller:
    """A terminal that is busy all the time, in a thread of its own."""

    def __init__(self, proxy: Proxy, world: World, gateway: str) -> None:
        self._client = proxy.client(world.key, gw=gateway)
        self._stop = threading.Event()
        self.calls = 0
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                assert self._client.call("echo", n=self.calls) == {"n": self.calls}
                self.calls += 1
        except BaseException as error:
            self.failure = error

    def end(self) -> None:
        self._stop.set()
        self._thread.join(PATIENCE)


@pytest.fixture
def gateways(world: World) -> Iterator[tuple[Proxy, Server, Server]]:
    one, two = server_for("haproxy", world), server_for("haproxy", world)
    with haproxy_gateways(world, one.port, two.port) as proxy:
        yield proxy, one, two


def attached(server: Server) -> int:
    return server.output.count(" attached from ")


def test_the_map_decides(gateways: tuple[Proxy, Server, Server], world: World) -> None:
    """Each name leads to its own server; an unknown one, or none, to a clear 404."""
    proxy, one, two = gateways

    proxy.client(world.key, gw="alice")
    assert (attached(one), attached(two)) == (1, 0)
    proxy.client(world.key, gw="bob")
    assert (attached(one), attached(two)) == (1, 1)
    for query in ({"gw": "mallory"}, {}):
        with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
            proxy.client(world.key, **query)
        assert refused.value.response.status_code == 404
        assert b"No such gateway" in refused.value.response.body
    assert "No such gateway." in doctor(world, proxy)["findings"][-1]["why"]
    known = doctor(world, proxy, gw="alice")
    assert (known["problems"], known["warnings"]) == (0, 0), known


def test_one_stops_under_load(gateways: tuple[Proxy, Server, Server], world: World) -> None:
    """The other's clients notice nothing; new ones go where the map allows."""
    proxy, one, two = gateways
    callers = [Caller(proxy, world, "bob") for _ in range(3)]
    leaving = proxy.client(world.key, gw="alice")
    wait_until(lambda: all(caller.calls > 20 for caller in callers), "some load")

    one.terminate()
    code, _reason = leaving.closed()
    one.ended()
    before = [caller.calls for caller in callers]
    newcomers = [proxy.client(world.key, gw="team") for _ in range(4)]
    wait_until(lambda: "Server alice/one is DOWN" in proxy.log, "the health check to notice")
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        proxy.client(world.key, gw="alice")
    wait_until(
        lambda: all(c.calls > b + 20 for c, b in zip(callers, before, strict=True)), "more load"
    )
    for caller in callers:
        caller.end()

    assert code == 1001
    assert [caller.failure for caller in callers] == [None] * 3
    assert all(client.call("echo", n=1) == {"n": 1} for client in newcomers)
    assert refused.value.response.status_code == 503
    assert attached(two) == 3 + 4


def test_drain(gateways: tuple[Proxy, Server, Server], world: World) -> None:
    """A server that is drained keeps its terminals and gets no new ones."""
    proxy, one, two = gateways
    staying = [proxy.client(world.key, gw="team") for _ in range(2)]
    assert (attached(one), attached(two)) == (1, 1)

    assert tell_haproxy(proxy, "set server team/one state drain").strip() == ""
    for _ in range(4):
        proxy.client(world.key, gw="team")

    assert (attached(one), attached(two)) == (1, 5)
    assert all(client.call("echo", n=1) == {"n": 1} for client in staying)
    assert sessions(proxy) == {"one": 1, "two": 5}
    assert tell_haproxy(proxy, "set server team/one state ready").strip() == ""
    proxy.client(world.key, gw="team")
    assert attached(one) == 2


def sessions(proxy: Proxy) -> dict[str, int]:
    """The terminals of each server, as `docs/deploy.md` asks for them."""
    head, *rows = csv.reader(tell_haproxy(proxy, "show stat").lstrip("# ").splitlines())
    found = [dict(zip(head, row, strict=False)) for row in rows if row]
    return {
        row["svname"]: int(row["scur"])
        for row in found
        if row["pxname"] == "team" and row["svname"] != "BACKEND"
    }


def test_a_gateway_that_is_not_ready(world: World) -> None:
    """One whose Hermes is broken lives, and gets nobody: the health check asks for /ready."""
    two = server_for("haproxy", world)
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = "/bin/false"
    one = server_for("haproxy", world, ready=False)
    with haproxy_gateways(world, one.port, two.port) as proxy:
        wait_until(lambda: "Server team/one is DOWN" in proxy.log, "the health check to notice")
        for _ in range(3):
            proxy.client(world.key, gw="team")

    assert (attached(one), attached(two)) == (0, 3)


# SSH.


@contextlib.contextmanager
def ssh_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """sshd on loopback with throw-away keys; its port, and the user's key."""
    program, keygen = need("sshd"), need("ssh-keygen")
    for name in ("host", "user"):
        key = str(folder / name)
        subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    shutil.copy(folder / "user.pub", folder / "authorized")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # As its service does.
    port = find_port()
    options = {
        "ListenAddress": "127.0.0.1",
        "HostKey": folder / "host",
        "AuthorizedKeysFile": folder / "authorized",
        "PidFile": "none",
        "StrictModes": "no",
        "UsePAM": "no",
        "PermitRootLogin": "prohibit-password",
    }
    arguments = [f"-o{name}={value}" for name, value in options.items()]
    process = subprocess.Popen(
        [program, "-D", "-e", "-f", "/dev/null", "-p", str(port), *arguments],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_until(lambda: is_open(port) or process.poll() is not None, "sshd to listen")
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield port, folder / "user"
    finally:
        process.terminate()
        process.communicate()


def test_over_ssh(world: World, tmp_path: Path) -> None:
    """`ssh -L` from a local port to the server's Unix socket, as `docs/deploy.md` has it."""
    folder = tmp_path / "ssh"
    folder.mkdir(mode=0o700)
    ssh, port, path = need("ssh"), find_port(), tmp_path / "attach.sock"
    server = world.start(["hermes-attach", "serve", f"--listen=unix:{path}:mode=600"], port)
    wait_until(lambda: is_open(path), "the socket")
    with ssh_server(folder) as (ssh_port, key):
        options = ["-oStrictHostKeyChecking=no", "-oUserKnownHostsFile=/dev/null", "-F", "none"]
        tunnel = subprocess.Popen(
            [ssh, "-N", "-L", f"{port}:{path}", "-p", str(ssh_port), "-i", str(key), *options,
             "-oExitOnForwardFailure=yes", "127.0.0.1"],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip
        try:
            wait_until(lambda: is_open(port) or tunnel.poll() is not None, "the tunnel")
            assert tunnel.poll() is None, tunnel.stderr and tunnel.stderr.read()
            client = server.client()
            assert client.call("echo", n=1) == {"n": 1}
            environ = {
                **world.environment,
                "HERMES_TUI_GATEWAY_URL": f"ws://127.0.0.1:{port}/api/ws?token={world.key}",
            }
            found = world.run("hermes-attach", "doctor", "--seconds=0.4", env=environ)
            client.socket.close()
        finally:
            tunnel.send_signal(signal.SIGTERM)
            tunnel.communicate()

    assert found.returncode == 0, found.stdout
    assert "attached from unix" in server.output
