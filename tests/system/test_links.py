"""No socket is closed that could live (design, law 1), over networks that fail and recover."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .conftest import PATIENCE, Client, Server, World, children, command_line, wait_until
from .proxy import Proxy

SERVE = ["hermes-attach", "serve"]

#: So many pings are several intervals: of 20 s each they are as long as a lift or a tunnel.
MANY = 6
#: The server's pings, at a hundredth of their usual pause. The proxy's port is not the server's.
OPTIONS = ("--ping-interval=0.2", "--allow-host=127.0.0.1")

Link = Callable[[], tuple[Client, Proxy]]


@pytest.fixture
def server(world: World, free_port: int) -> Server:
    return world.twistd(free_port, *OPTIONS)


@pytest.fixture
def link(server: Server) -> Iterator[Link]:
    """Attaches clients, each through a proxy of its own."""
    with contextlib.ExitStack() as stack:

        def attach() -> tuple[Client, Proxy]:
            proxy = Proxy(server.port)
            stack.callback(proxy.close)
            return server.client(url=proxy.url), proxy

        yield attach
        server.clients.close()


def worker_of(server: Server) -> int:
    (worker,) = (pid for pid in children(server.pid) if "boot.py" in command_line(pid))
    return worker


def get(port: int, path: str) -> int:
    """The status of a page, which is to come while Hermes does nothing."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=PATIENCE) as answer:
        status: int = answer.status
        return status


def wait_for_pings(proxy: Proxy, more: int = MANY) -> None:
    """Let several ping intervals pass, by what the server does."""
    enough = proxy.pings + more
    wait_until(lambda: proxy.pings >= enough, "the server's pings")


def assert_same_socket(server: Server, *clients: Client) -> None:
    """Each is attached as it was, and the server has seen nobody come or go."""
    for client in clients:
        assert client.call("echo", n=1) == {"n": 1}
    assert server.output.count(" attached from ") == len(clients)
    assert "detached" not in server.output


def words(client: Client) -> list[int]:
    """The numbers of the words of a stream, to its end."""
    events = client.events(until="message.complete")
    return [event["payload"]["n"] for event in events if event["type"] == "message.delta"]


def test_late_pongs(server: Server, link: Link) -> None:
    """The answers to many pings come late, all at once."""
    client, proxy = link()

    proxy.up.hold()
    wait_for_pings(proxy)
    proxy.up.release()

    assert_same_socket(server, client)


def test_blackhole(server: Server, link: Link) -> None:
    """Nothing passes, either way, in the middle of a stream; then all of it does, in order."""
    client, proxy = link()
    bystander, _ = link()
    session = client.call("session.create")["session_id"]
    client.call("stream", session_id=session, count=400, rate=400)
    client.event("message.delta")

    proxy.up.hold()
    proxy.down.hold()
    asked = client.request("echo", n=2)
    wait_for_pings(proxy)
    wait_until(
        lambda: bystander.call("session.sent", session_id=session)["count"] == 400, "the stream"
    )
    proxy.up.release()
    proxy.down.release()

    assert words(client) == list(range(1, 400))
    assert client.answer(asked)["result"] == {"n": 2}
    assert_same_socket(server, client, bystander)


def test_slow_and_late(server: Server, link: Link) -> None:
    """A long answer over a thin line, with pings between its pieces."""
    client, proxy = link()
    proxy.down.shape(delay=0.3, rate=1_000_000)
    proxy.up.shape(delay=0.3)

    answer = client.call("result.of_size", bytes=1_500_000)

    assert len(answer["text"]) == 1_500_000
    assert proxy.pings >= 2
    assert_same_socket(server, client)


def test_dead_client(world: World, free_port: int) -> None:
    """The other side of it: who says nothing at all for `--dead-after` is dropped."""
    server = world.twistd(free_port, *OPTIONS, "--dead-after=1s")
    with contextlib.closing(Proxy(server.port)) as proxy:
        server.client(url=proxy.url)
        alive = server.client()

        proxy.up.hold()

        server.wait_for_log("nothing received for")
        wait_until(lambda: proxy.ended, "the end of the connection")
        # A client that answers its pings, and says nothing else, stays.
        assert alive.call("echo", n=1) == {"n": 1}
        server.clients.close()


_CLIENT = """
import json, sys
from websockets.sync.client import connect
headers = {"Authorization": "Bearer " + sys.stdin.readline().strip()}
with connect(sys.argv[1], additional_headers=headers, compression=None, max_size=None,
             max_queue=None, proxy=None) as socket:
    kept = []
    def call(method, **params):
        socket.send(json.dumps({"jsonrpc": "2.0", "id": method, "method": method,
                                "params": params}))
        while (frame := json.loads(socket.recv())).get("id") != method:
            kept.append(frame)
        return frame["result"]
    def event():
        frame = kept.pop(0) if kept else json.loads(socket.recv())
        return frame["params"]
    session = call("session.create")["session_id"]
    print(session, flush=True)
    call("stream", session_id=session, count=COUNT, rate=RATE, text="x" * 4096)
    numbers, kind = [], None
    while kind != "message.complete":
        params = event()
        kind = params["type"]
        if kind == "message.delta":
            numbers.append(params["payload"]["n"])
            if len(numbers) == 5:
                print("streaming", flush=True)
    print(numbers == list(range(COUNT)), flush=True)
    print(call("echo", n=1), flush=True)
"""


def test_suspended_client(server: Server, link: Link) -> None:
    """A laptop that sleeps while its TCP stays: what was sent meanwhile is there when it wakes."""
    count = 500
    bystander, proxy = link()
    code = _CLIENT.replace("COUNT", str(count)).replace("RATE", "1000")
    url = f"ws://127.0.0.1:{server.port}/api/ws"
    with subprocess.Popen(
        [sys.executable, "-c", code, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(server.key + "\n")
        client.stdin.flush()
        session = client.stdout.readline().strip()
        assert client.stdout.readline() == "streaming\n"

        os.kill(client.pid, signal.SIGSTOP)
        wait_until(
            lambda: bystander.call("session.sent", session_id=session)["count"] == count, "the end"
        )
        wait_for_pings(proxy)
        assert "detached" not in server.output
        os.kill(client.pid, signal.SIGCONT)

        assert client.stdout.readline() == "True\n"
        assert client.stdout.readline() == "{'n': 1}\n"
        client.stdin.close()
        assert client.wait(PATIENCE) == 0


def test_stalled_worker(server: Server, link: Link) -> None:
    """Hermes does nothing for a while: the front answers for itself, requests wait."""
    client, proxy = link()
    worker = worker_of(server)

    os.kill(worker, signal.SIGSTOP)
    try:
        asked = client.request("echo", n=2)
        wait_for_pings(proxy)
        assert get(server.port, "/health") == 200
        assert client.call("gateway.ping") is not None
        # One more comes meanwhile, and is held rather than refused.
        late = server.client(ready=False)
        late_asked = late.request("echo", n=3)
    finally:
        os.kill(worker, signal.SIGCONT)

    assert client.answer(asked)["result"] == {"n": 2}
    late.event("gateway.ready")
    assert late.answer(late_asked)["result"] == {"n": 3}
    assert_same_socket(server, client, late)


def test_reload_in_a_stream(server: Server, link: Link) -> None:
    """SIGHUP, several times: nobody is disconnected, nothing is lost, answers arrive."""
    client, _proxy = link()
    session = client.call("session.create")["session_id"]
    blocked = client.request("long.block", name="gate")
    client.event("stub.blocked")
    client.call("stream", session_id=session, count=500, rate=500)
    client.event("message.delta")

    for number in range(1, 4):
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda n=number: server.output.count("reloading") == n, "the reload")

    assert words(client) == list(range(1, 500))
    client.call("open.respond", name="gate")
    assert client.answer(blocked)["result"] == {"opened": True}
    assert_same_socket(server, client)


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's table is Linux's")
@pytest.mark.parametrize(
    "options",
    [
        ["--listen=tcp:{port}:interface=127.0.0.1"],
        ["--listen=tcp:{port}:interface=127.0.0.1", "--tls=self"],
        ["--listen=haproxy:tcp:{port}:interface=127.0.0.1"],
    ],
    ids=["tcp", "tls", "haproxy"],
)
def test_the_kernel_watches_too(world: World, free_port: int, options: list[str]) -> None:
    """Accepted sockets have TCP keepalive: a timer of kind 2 runs on each (proc_net(5))."""
    ours = f"0100007F:{free_port:04X}"
    options = [option.format(port=free_port) for option in options]
    world.start([*SERVE, *options], free_port).wait_for_log()

    def timers() -> list[str]:
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        established = (line.split() for line in lines if re.search(r" 01 [0-9A-F]{8}:", line))
        return [fields[5][:2] for fields in established if fields[1] == ours]

    with socket.create_connection(("127.0.0.1", free_port)):
        # While something is under way, the timer is another one.
        wait_until(lambda: timers() == ["02"], "a keepalive timer")
