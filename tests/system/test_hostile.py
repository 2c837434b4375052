"""A client with a valid key that means no good, over real processes."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import find_port, hermes_python
from tests.fake_model import FakeModel
from tests.hostile import CORPUS, TEXTS
from tests.system.conftest import Client, Server, World, children, command_line, is_alive

MIB = 1024 * 1024
#: What the front, and the worker, may ever have more than before: twice what was seen.
FRONT_GROWTH = 128 * MIB
WORKER_GROWTH = 256 * MIB
#: Threads of the front, and of the worker: lanes, Hermes' pool, and what Hermes starts itself.
FRONT_THREADS = 4
WORKER_THREADS = 64 + 16 + 24

RELAXED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)


def status(pid: int, name: str) -> int:
    """A number in `/proc/PID/status`; memory in bytes."""
    found = re.search(rf"^{name}:\s+(\d+)( kB)?$", Path(f"/proc/{pid}/status").read_text(), re.M)
    assert found is not None
    return int(found[1]) * (1024 if found[2] else 1)


class Siege:
    """A server with a client that attacks and one that only wants to be served."""

    def __init__(self, server: Server, method: str) -> None:
        self.server = server
        self.method = method
        self.other = server.client()
        self.attacker = server.client()
        self.other.call(method)
        (self.worker,) = (pid for pid in children(server.pid) if "boot.py" in command_line(pid))
        self._before = {pid: status(pid, "VmRSS") for pid in (server.pid, self.worker)}

    def attack(self, text: bytes) -> dict[str, Any] | None:
        """Send *text*: it is answered, and so are the other client, and the attacker's next."""
        self.attacker.socket.send(text.decode("utf-8"))
        self.other.call(self.method)
        self.attacker.kept = []
        after = self.attacker.request(self.method)
        answers: list[dict[str, Any]] = []
        while len(answers) < (2 if text.strip() else 1):
            frame = self.attacker.next(lambda frame: "method" not in frame)
            assert ("result" in frame) != ("error" in frame)
            answers.append(frame)
        assert after in [frame["id"] for frame in answers]
        return next((frame for frame in answers if frame["id"] != after), None)

    def check(self) -> None:
        """Nothing has grown beyond its limit, nobody has died."""
        assert is_alive(self.worker)
        for pid, growth, threads in (
            (self.server.pid, FRONT_GROWTH, FRONT_THREADS),
            (self.worker, WORKER_GROWTH, WORKER_THREADS),
        ):
            assert status(pid, "VmHWM") - self._before[pid] < growth
            assert status(pid, "Threads") <= threads


@pytest.fixture(scope="module", params=["stub", pytest.param("0.19.0", marks=pytest.mark.hermes)])
def siege(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[Siege]:
    world = World(tmp_path_factory.mktemp("hostile"))
    if request.param == "stub":
        world.use_stub()
    else:
        world.configure_hermes(model, hermes_python(request.param))
    try:
        yield Siege(world.twistd(find_port()), "session.list")
    finally:
        world.close()


def is_text(data: bytes) -> bool:
    """Whether a WebSocket may carry it: what is not UTF-8 is the protocol's to refuse."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


@pytest.mark.parametrize("name", [name for name in CORPUS if is_text(CORPUS[name]())])
def test_corpus(siege: Siege, name: str) -> None:
    """Each nasty message is answered, while another client is served."""
    answer = siege.attack(CORPUS[name]())

    if answer is not None:
        json.dumps(answer)
    siege.check()


@RELAXED
@given(TEXTS.filter(is_text), st.none())
def attack_with_anything(siege: Siege, text: bytes, _: None) -> None:
    siege.attack(text)


def test_anything(siege: Siege) -> None:
    """The same for whatever hypothesis finds."""
    attack_with_anything(siege)
    siege.check()


def test_one_id_for_all(siege: Siege) -> None:
    """A thousand requests under one id are all answered."""
    client: Client = siege.attacker
    client.kept = []
    request = json.dumps({"id": "same", "method": siege.method})
    for _ in range(1000):
        client.socket.send(request)

    siege.other.call(siege.method)
    for _ in range(1000):
        assert "result" in client.answer("same")
    siege.check()


def test_large_messages_at_once(siege: Siege) -> None:
    """Several clients that send the largest and the most nested at once cost bounded memory."""
    clients = [siege.server.client() for _ in range(4)]
    text = CORPUS["a quarter of a million lists"]().decode()
    long = CORPUS["one long string"]().decode()
    for client in clients:
        for _ in range(3):
            client.socket.send(text)
            client.socket.send(long)

    siege.other.call(siege.method)
    for client in clients:
        for _ in range(6):
            client.next(lambda frame: frame.get("id") == 1)
        client.socket.close()
    siege.check()
