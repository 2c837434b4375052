"""Seeing and steering a real server: /metrics, status, kick, top."""

from __future__ import annotations

import json
import os
import shutil
import socket
import stat
import subprocess
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import STUB, find_port, skip
from tests.system.conftest import BIN, PATIENCE, Server, World, kill_worker, wait_until

ATTACH = str(BIN / "hermes-attach")


@pytest.fixture
def server(world: World, free_port: int) -> Server:
    world.use_stub()
    # pytest's directories may be too deep for a socket: see `test_long_path`.
    world.environment["HERMES_ATTACH_CONTROL"] = str(world.directory / "c")
    return started(world, free_port)


def started(world: World, port: int, *options: str) -> Server:
    """A server that can be asked: its control socket comes after its port."""
    return world.twistd(port, *options).wait_for_log("listening on")


def status(world: World, *options: str) -> Any:
    done = world.run(ATTACH, "status", "--json", *options)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def scrape(port: int, **headers: str) -> tuple[int, str]:
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    try:
        connection.request("GET", "/metrics", headers=headers)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def samples(port: int) -> dict[tuple[str, ...], float]:
    code, text = scrape(port)
    assert code == 200
    return {
        (s.name.removeprefix("hermes_attach_"), *(v for _n, v in sorted(s.labels.items()))): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def test_metrics(server: Server) -> None:
    """A real conversation is on the page: links, answers with their times, events, bytes."""
    client = server.client()
    session = client.call("session.create")["session_id"]
    client.call("stream", session_id=session, count=50)
    client.event("message.complete")

    found = samples(server.port)

    assert found["links",] == 1
    assert found["backend_state", "ready"] == found["ready",] == 1
    assert found["rpc_duration_seconds_count", "session", "ok"] == 1
    assert found["events_total",] >= 52
    assert found["bytes_total", "out"] > found["bytes_total", "in"] > 0
    assert found["process_open_fds",] > 0
    assert scrape(server.port, Host="evil.example")[0] == 403
    assert scrape(server.port, Authorization=f"Bearer {server.key}")[0] == 200


def test_worker_that_dies(server: Server) -> None:
    """A restart is counted, and what it cost."""
    client = server.client()
    blocked = client.request("block", name="for-ever", timeout=60)
    client.event("stub.blocked")

    kill_worker(server)

    assert "error" in client.answer(blocked)
    wait_until(lambda: samples(server.port)["ready",] == 1, "the next worker")
    found = samples(server.port)
    assert found["backend_restarts_total",] == 1
    assert found["rpc_duration_seconds_count", "other", "lost"] == 1


def test_hermes_in_this_process(world: World, free_port: int) -> None:
    """As in a gateway: there is no worker, and everything is measured all the same."""
    world.environment["PYTHONPATH"] = str(STUB)
    world.environment["HERMES_ATTACH_CONTROL"] = str(world.directory / "c")
    server = started(world, free_port, "--backend=inprocess")
    client = server.client()
    session = client.call("session.create")["session_id"]
    client.call("stream", session_id=session, count=50)
    client.event("message.complete")

    found = samples(free_port)

    assert found["rpc_duration_seconds_count", "session", "ok"] == 1
    assert found["rpc_duration_seconds_count", "other", "ok"] == 1
    assert found["events_total",] >= 52
    assert status(world)["backend"]["kind"] == "inprocess"
    assert world.run(ATTACH, "kick", "1").returncode == 0
    assert client.closed()[0] == 1008


def test_what_is_left_out(world: World, free_port: int) -> None:
    """Live text that is too much at once is counted where it is left out: in the worker."""
    world.use_stub()
    world.environment["HERMES_ATTACH_CONTROL"] = str(world.directory / "c")
    # Two frames fill the queue: no writer to a socket keeps up with that.
    server = started(world, free_port, "--max-queued-soft=20k")
    client = server.client()
    session = client.call("session.create")["session_id"]
    count = 4000
    client.request("stream", session_id=session, count=count, text="x" * 10_000)

    events = client.events(until="message.complete")

    shown = sum(event["type"] == "message.delta" for event in events)
    assert shown < count
    assert samples(free_port)["shed_total",] == count - shown
    assert status(world)["seats"][0]["total"]["shed"] == count - shown


def test_status(server: Server, world: World) -> None:
    """For people a table, for programs JSON; the key's name, never the key."""
    server.client()

    found = status(world)
    table = world.run(ATTACH, "status")

    (row,) = found["seats"]
    assert (row["key"], row["scope"]) == ("key-file", "full")
    assert found["pid"] == server.pid
    assert found["listening"] == [f"127.0.0.1:{server.port}"]
    assert found["backend"]["state"] == "ready"
    assert table.returncode == 0
    assert f"process {server.pid}" in table.stdout
    assert row["peer"] in table.stdout
    assert server.key not in table.stdout + json.dumps(found)


def test_kick(server: Server, world: World) -> None:
    """One client is told and gone, the other stays."""
    kicked, other = server.client(), server.client()

    done = world.run(ATTACH, "kick", "1", "--reason", "maintenance")

    assert done.returncode == 0
    assert "Seat 1" in done.stdout
    assert kicked.notice() == "This terminal is being disconnected: maintenance."
    assert kicked.closed() == (1008, "maintenance")
    assert other.call("echo") == {}
    wait_until(lambda: len(status(world)["seats"]) == 1, "the seat to be free")
    again = world.run(ATTACH, "kick", "1")
    assert again.returncode == 1
    assert "no seat 1" in again.stdout


@pytest.fixture
def tmux(world: World) -> Iterator[list[str]]:
    found = shutil.which("tmux")
    if found is None:
        skip("top is tested in tmux")
    command = [str(found), "-S", str(world.directory / "t"), "-f", os.devnull]
    yield command
    subprocess.run([*command, "kill-server"], check=False, capture_output=True)


@pytest.mark.parametrize("key", ["q", "C-c"])
def test_top(server: Server, world: World, tmux: list[str], key: str) -> None:
    """It shows who comes and goes, and ends with a key, with the terminal as it was."""
    done = world.directory / "done"
    shell = f"stty -g > before; {ATTACH} top; echo $? > status; stty -g > after; touch {done}; cat"
    start = ["new-session", "-d", "-x", "160", "-y", "20", shell]
    subprocess.run([*tmux, *start], check=True, env=world.environment, cwd=world.directory)

    def screen() -> str:
        shown = subprocess.run([*tmux, "capture-pane", "-p"], check=True, capture_output=True)
        return shown.stdout.decode()

    wait_until(lambda: "Nobody is attached" in screen(), "an empty table")
    client = server.client()
    wait_until(lambda: "key-file" in screen(), "the client's row")
    client.socket.close()
    wait_until(lambda: "Nobody is attached" in screen(), "an empty table again")
    subprocess.run([*tmux, "send-keys", key], check=True)

    wait_until(done.exists, "the end")
    directory = world.directory
    assert (directory / "status").read_text() == "0\n"
    assert (directory / "before").read_text() == (directory / "after").read_text()
    assert "Traceback" not in screen()


def test_top_without_a_terminal(server: Server, world: World) -> None:
    done = world.run(ATTACH, "top")

    assert done.returncode == 2
    assert "hermes-attach status" in done.stdout


def test_only_its_owner(world: World, free_port: int) -> None:
    """The socket is at home, its owner's alone, and gone after the stop."""
    world.use_stub()
    path = world.home / "attach" / "control.sock"
    if len(str(path)) > 107:
        pytest.skip("this machine's directory for tests is too deep")
    server = started(world, free_port)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert status(world)["pid"] == server.pid
    server.terminate()
    server.ended()
    assert not path.exists()
    gone = world.run(ATTACH, "status")
    assert gone.returncode == 1
    assert f"No server listens at {path}" in gone.stdout


def test_a_dead_servers_socket(server: Server, world: World, free_port: int) -> None:
    """What kill -9 has left is replaced; a living server keeps its own."""
    path = Path(world.environment["HERMES_ATTACH_CONTROL"])
    second = world.twistd(find_port())
    second.wait_for_log("no control socket")
    assert status(world)["pid"] == server.pid

    server.process.kill()
    server.ended()
    assert path.is_socket()
    third = started(world, free_port)
    assert status(world)["pid"] == third.pid


def test_long_path(world: World, free_port: int) -> None:
    """A home too deep for a socket is no obstacle to serving, and both ends say what to do."""
    world.use_stub()
    deep = world.directory / ("d" * 100)
    deep.mkdir()
    world.environment["HERMES_HOME"] = str(deep)
    server = world.twistd(free_port)

    server.wait_for_log("no control socket")
    assert "--control" in server.output
    done = world.run(ATTACH, "status")
    assert done.returncode == 1
    assert "107 bytes" in done.stdout


def test_a_flood_of_connections(server: Server, world: World) -> None:
    """So many and no more; a line without end is dropped; the server goes on."""
    path = world.environment["HERMES_ATTACH_CONTROL"]
    held = [socket.socket(socket.AF_UNIX) for _ in range(20)]
    try:
        for sock in held:
            sock.settimeout(PATIENCE)
            sock.connect(path)
        assert held[-1].recv(1) == b""
        held[0].sendall(b"x" * 10_000)
        assert held[0].recv(1) == b""
        held[1].sendall(b'{"command":"status"}\n{"command":"nothing"}\n')
        lines = held[1].makefile("rb")
        assert json.loads(lines.readline())["ok"] is True
        assert json.loads(lines.readline())["ok"] is False
        lines.close()
    finally:
        for sock in held:
            sock.close()
    wait_until(lambda: world.run(ATTACH, "status").returncode == 0, "room for one more")


def test_no_control(world: World, free_port: int) -> None:
    """--no-control opens none."""
    world.use_stub()
    world.twistd(free_port, "--no-control")

    assert world.run(ATTACH, "status").returncode == 1
    assert not (world.home / "attach" / "control.sock").exists()


@pytest.mark.parametrize(
    "arguments",
    [["kick"], ["kick", "x"], ["kick", "1", "2"], ["status", "--nothing"], ["status", "1"]],
)
def test_wrong_usage(world: World, arguments: list[str]) -> None:
    done = world.run(ATTACH, *arguments)

    assert done.returncode == 2
    assert done.stdout.startswith(f"hermes-attach {arguments[0]}: ")
    assert "Traceback" not in done.stdout
