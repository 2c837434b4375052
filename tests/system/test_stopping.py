"""How a server ends: within `--drain`, at once when asked twice, whatever Hermes is doing."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest

from .conftest import Server, World, children, is_alive, kill_worker, wait_until

COMMANDS = (["twistd", "--nodaemon", "--pidfile=", "hermes-attach"], ["hermes-attach", "serve"])


def family(server: Server) -> list[int]:
    """The worker and all below it."""
    return wait_until(lambda: children(server.pid), "the worker")


def assert_gone(server: Server, pids: list[int], by: signal.Signals = signal.SIGTERM) -> None:
    """The server has ended by the signal, which to systemd is clean, and left nobody behind."""
    assert server.ended() == -by
    wait_until(lambda: not any(map(is_alive, pids)), "the worker to end")
    assert "Traceback" not in server.output


def test_a_running_turn_is_waited_for(world: World, free_port: int) -> None:
    """For as long as `--drain` says, and not longer than it takes."""
    server = world.twistd(free_port, "--drain=10m")
    client = server.client()
    session = client.call("session.create")["session_id"]
    end = world.directory / "end"
    client.call("stream", session_id=session, count=3, until=str(end))
    pids = family(server)

    server.terminate()
    client.notice()
    # It still serves whom it has: an approval can be given, a question answered.
    assert client.call("echo", n=1) == {"n": 1}
    assert is_alive(server.pid)
    end.touch()

    assert client.event("message.complete")["payload"]["status"] == "complete"
    assert client.closed() == (1001, "the server is stopping")
    assert_gone(server, pids)
    assert "drain time was over" not in server.output


def test_a_turn_without_its_client(world: World, free_port: int) -> None:
    """A turn goes on whatever the socket does, also while the server stops."""
    server = world.twistd(free_port, "--drain=10m")
    end = world.directory / "end"
    client = server.client()
    session = client.call("session.create")["session_id"]
    client.call("stream", session_id=session, count=3, until=str(end))
    pids = family(server)
    server.clients.close()
    wait_until(lambda: "detached" in server.output, "the client to go")

    server.terminate()
    server.wait_for_log("Received SIGTERM")
    assert all(map(is_alive, pids))
    end.touch()

    assert_gone(server, pids)
    assert "drain time was over" not in server.output


@pytest.fixture(autouse=True)
def interruptible() -> Iterator[None]:
    """What a shell starts in its background ignores SIGINT, and so would our servers."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_second_time_at_once(
    world: World, free_port: int, command: list[str], number: signal.Signals
) -> None:
    """Ctrl-C twice in the foreground, `kill` twice elsewhere; the worker goes as well."""
    command = [*command, f"--port={free_port}", "--drain=10m"]
    server = world.start(command, free_port).wait_for_port()
    client = server.client()
    client.request("block", name="gate", timeout=600)
    client.event("stub.blocked")
    pids = family(server)

    os.kill(server.pid, number)
    client.notice()
    assert is_alive(server.pid)
    os.kill(server.pid, number)

    assert_gone(server, pids, number)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c[0])
def test_interrupt(world: World, free_port: int, command: list[str]) -> None:
    """Ctrl-C once: in order, as with SIGTERM."""
    server = world.start([*command, f"--port={free_port}"], free_port).wait_for_port()
    client = server.client()
    pids = family(server)

    os.kill(server.pid, signal.SIGINT)

    assert client.closed() == (1001, "the server is stopping")
    assert_gone(server, pids, signal.SIGINT)


def test_while_the_worker_is_started_again(world: World, free_port: int) -> None:
    server = world.twistd(free_port, "--drain=10m")
    client = server.client()
    kill_worker(server)
    client.notice()
    waiting = client.request("echo", n=1)

    server.terminate()

    assert client.closed()[0] == 1001
    assert all(frame.get("id") != waiting for frame in client.kept)
    assert_gone(server, children(server.pid))


def test_while_hermes_cannot_be_served(world: World, free_port: int) -> None:
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = "/bin/false"
    server = world.twistd(free_port, "--drain=10m")
    server.wait_for_log("Hermes cannot be served")

    server.terminate()

    assert_gone(server, [])


def test_while_the_worker_is_stalled(world: World, free_port: int) -> None:
    """Neither the end of its input nor SIGTERM reaches it: SIGKILL does."""
    server = world.twistd(free_port, "--drain=0.2")
    client = server.client()
    pids = family(server)
    os.kill(pids[0], signal.SIGSTOP)

    server.terminate()

    assert client.closed()[0] == 1001
    assert_gone(server, pids)


def test_the_worker_dies_meanwhile(world: World, free_port: int) -> None:
    """Then there is nothing left to wait for."""
    server = world.twistd(free_port, "--drain=10m")
    client = server.client()
    client.request("block", name="gate", timeout=600)
    client.event("stub.blocked")

    server.terminate()
    client.notice()
    pids = family(server)
    kill_worker(server)

    assert client.closed()[0] == 1001
    assert_gone(server, pids)
