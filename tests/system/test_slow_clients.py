"""A client that reads slowly, or not at all, costs the others nothing: real sockets, both backends.

Writers never block: a turn whose client does not read runs on to its end. So "all was sent"
says that the mechanism under test has had to deal with it.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from hermes_twisted.hermes.host import SLOW_CLIENT_NOTICE
from hermes_twisted.testing.wire import client_frame
from tests.conftest import STUB
from tests.system.conftest import (
    PATIENCE,
    Client,
    Server,
    World,
    children,
    command_line,
    text_of,
    wait_until,
)
from tests.system.test_control import samples
from tests.system.test_violations import Raw, opening

KIB = 1024
MIB = 1024 * KIB
#: One piece of live text, and what it is on the wire, at least.
WORD = "x" * 10_000
#: An event that must arrive.
FRAME = "y" * 250_000
#: What one client may have in the front: its window of 1 MiB, one turn of the worker's pump,
#: and the frame with which that turn may end.
FRONT_SHARE = MIB + 256 * KIB + len(FRAME) + KIB


@dataclass
class House:
    """A server, somebody who makes its sessions stream, and who says how it is."""

    server: Server
    control: Path
    driver: Client

    def status(self) -> dict[int, dict[str, Any]]:
        """The rows of `hermes-attach status`, by seat; the driver's is the first."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(PATIENCE)
            line.connect(str(self.control))
            line.sendall(b'{"command": "status"}\n')
            with line.makefile() as answer:
                found = json.loads(answer.readline())
        return {row["seat"]: row for row in found["status"]["seats"]}

    def client(self) -> Healthy:
        return Healthy(self, self.server.client())

    def slow(self) -> Slow:
        return Slow(self)

    @property
    def worker(self) -> int:
        """Hermes' process, which in a gateway is this one."""
        found = [pid for pid in children(self.server.pid) if "boot.py" in command_line(pid)]
        return found[0] if found else self.server.pid

    @property
    def processes(self) -> set[int]:
        return {self.server.pid, self.worker}


class Attached:
    """A client with a session, and a seat in `status`."""

    def __init__(self, house: House, client: Client) -> None:
        self.house = house
        self.client = client
        self.seat = max(house.status())
        self.session: str = client.call("session.create")["session_id"]

    @property
    def row(self) -> dict[str, Any]:
        return self.house.status()[self.seat]

    def stream(self, count: int, **params: Any) -> None:
        """Somebody else's request makes this client's session stream."""
        self.house.driver.call("stream", session_id=self.session, count=count, **params)

    def sent(self) -> int:
        count: int = self.house.driver.call("session.sent", session_id=self.session)["count"]
        return count

    def flood(self, count: int, **params: Any) -> None:
        """Stream so many words, and wait until all have left the turn."""
        self.stream(count, text=WORD, **params)
        wait_until(lambda: self.sent() == count, "the turn to be over")


class Healthy(Attached):
    def turn(self, count: int) -> None:
        """A turn, of which everything arrives, in order; in its midst requests are answered."""
        asked = self.client.request("stream", session_id=self.session, count=count)
        answers = [self.client.request("echo", number=number) for number in range(20)]
        for number, identity in enumerate(answers):
            assert self.client.answer(identity)["result"] == {"number": number}
        assert "result" in self.client.answer(asked)
        events = self.client.events(until="message.complete")
        kinds = [event["type"] for event in events]
        assert kinds == ["message.start", *["message.delta"] * count, "message.complete"]
        assert [event["payload"]["n"] for event in events[1:-1]] == list(range(count))


class Slow(Attached):
    """A client with a small buffer, that reads only what a test takes from it."""

    def __init__(self, house: House) -> None:
        sock = socket.socket()
        # Before it connects: the kernel's own choice may grow to many megabytes.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(PATIENCE)
        sock.connect(("127.0.0.1", house.server.port))
        sock.settimeout(None)
        super().__init__(house, house.server.client(sock=sock, max_queue=0, ping_interval=None))

    def is_stuck(self) -> bool:
        return self.row["writable"] is False

    def read_until(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """All frames from here to the one that is *wanted*, in the order in which they came."""
        last = self.client.next(wanted)
        frames, self.client.kept = [*self.client.kept, last], []
        return frames

    def reads(self, count: int) -> None:
        """It reads again, and all the frames are there."""
        texts = [self.client.event("message.complete")["payload"]["text"] for _ in range(count)]
        assert texts == [FRAME] * count

    def is_dropped(self) -> bool:
        """Whether the connection ended without a close frame."""
        try:
            self.client.next(lambda frame: False)
        except ConnectionClosed as closed:
            return closed.rcvd is None
        raise AssertionError("unreachable")


def get_stuck(*slow: Slow, least: int = 1) -> list[int]:
    """Emit frames that must arrive until each has so many bytes waiting; how many to each."""
    emitted = dict.fromkeys(slow, 0)

    def all_are() -> bool:
        rows = slow[0].house.status()
        open_still = [
            one
            for one in slow
            if rows[one.seat]["writable"]
            or emitted[one] * len(FRAME) < least + rows[one.seat]["total"]["bytes_out"]
        ]
        for one in open_still:
            one.stream(0, whole=FRAME)
            emitted[one] += 1
        return not open_still

    wait_until(all_are, "all of them to be stuck")
    return list(emitted.values())


@pytest.fixture(params=["worker", "inprocess"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def build(backend: str, world: World, free_port: int) -> Callable[..., House]:
    """Starts a server with these options."""

    def build(*options: str) -> House:
        # pytest's directories may be too deep for a socket.
        control = world.directory / "c"
        world.environment["HERMES_ATTACH_CONTROL"] = str(control)
        if backend == "inprocess":
            world.environment["PYTHONPATH"] = str(STUB)
        # Who does not read does not answer a close, either: nothing to wait for at the end.
        ending = ("--drain=0", "--close-timeout=0.1")
        server = world.twistd(free_port, f"--backend={backend}", *ending, *options)
        server.wait_for_log("listening on")
        return House(server, control, server.client())

    return build


def memory(pid: int, field: str) -> int:
    """`VmRSS` or `VmHWM` of a process, in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * KIB
    raise AssertionError(f"no {field}")


class Growth:
    """The most memory that processes have had since, beyond what they had."""

    def __init__(self, pids: set[int]) -> None:
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        self._before = {pid: memory(pid, "VmRSS") for pid in pids}

    def of(self, pid: int) -> int:
        return memory(pid, "VmHWM") - self._before[pid]


def is_answer(frame: dict[str, Any], identity: str) -> bool:
    return "method" not in frame and frame["id"] == identity


def text_in(frame: dict[str, Any]) -> str | None:
    payload = frame["params"].get("payload") if "method" in frame else None
    return payload.get("text") if payload else None


def kind_of(frame: dict[str, Any]) -> str:
    return frame["params"]["type"] if "method" in frame else "answer"


def test_beside_one_that_never_reads(build: Callable[..., House]) -> None:
    """While a turn floods who never reads, another's turn arrives whole, its answers too."""
    house = build("--max-queued-soft=1m")
    healthy, slow = house.client(), house.slow()
    get_stuck(slow)
    before = slow.row["total"]["bytes_out"]
    slow.stream(10**9, text=WORD, rate=500)  # Without end.
    wait_until(lambda: slow.sent() > 400, "more than the front's share and the soft limit")

    for _ in range(3):
        healthy.turn(1000)

    assert slow.is_stuck()
    assert slow.row["total"]["bytes_out"] - before < MIB  # The kernel may have found some room.


@pytest.mark.parametrize("count", [1, 20])
def test_memory(build: Callable[..., House], count: int) -> None:
    """What those cost who never read is bounded by the limits, whatever is sent to them."""
    house = build("--max-queued-soft=1m")
    healthy = house.client()
    slow = [house.slow() for _ in range(count)]
    healthy.turn(1000)  # First uses take memory for good.
    before = Growth(house.processes)
    get_stuck(*slow)
    words = 40_000 // count  # 400 MB in all.

    for one in slow:
        one.stream(words, text=WORD)
    healthy.turn(1000)
    wait_until(lambda: all(one.sent() == words for one in slow), "the turns to be over")
    healthy.turn(1000)

    rows = house.status()
    assert not any(rows[one.seat]["writable"] for one in slow)
    assert all(0 < rows[one.seat]["queued_bytes"] <= FRONT_SHARE for one in slow)
    assert rows[healthy.seat]["queued_bytes"] == 0
    # A queue that is shed at 1 MiB, the front's share, Twisted's and the pump's pieces.
    for pid in house.processes:
        assert before.of(pid) < 16 * MIB + count * 3 * MIB


def test_reads_again(build: Callable[..., House]) -> None:
    """Who reads again finds it in order: live text with gaps, a notice, the whole, the answers."""
    house = build("--max-queued-soft=1m")
    slow = house.slow()
    gate = slow.client.request("long.block", name="gate")
    slow.client.event("stub.blocked")
    get_stuck(slow)
    # Larger than what is left out: it is not the size that decides what must arrive.
    whole = "the whole text " * 20_000
    slow.flood(2000, whole=whole)
    before = slow.row["waiting_requests"]
    asked = [slow.client.request("echo", number=number) for number in range(20)]
    wait_until(lambda: slow.row["waiting_requests"] == before + 20, "the requests to have come")
    house.driver.call("open.respond", name="gate")

    frames = slow.read_until(lambda frame: is_answer(frame, asked[-1]))

    end = next(n for n, frame in enumerate(frames) if text_in(frame) == whole)
    begin = max(n for n, frame in enumerate(frames) if kind_of(frame) == "message.start")
    turn = frames[begin + 1 : end]
    deltas = [frame["params"]["payload"]["n"] for frame in turn if text_in(frame) == WORD]
    assert len(deltas) < 2000
    assert all(one < after for one, after in pairwise(deltas))
    notices = [frame for frame in turn if kind_of(frame) == "browser.progress"]
    # One for each time that the queue was full of what could be left out.
    assert {frame["params"]["payload"]["message"] for frame in notices} == {SLOW_CLIENT_NOTICE}
    # One request has waited in Hermes' pool, the others for their client to read.
    answers = [frame["id"] for frame in frames if kind_of(frame) == "answer"]
    assert answers == [gate, *asked]
    assert [kind_of(frame) for frame in frames[-20:]] == ["answer"] * 20
    assert slow.row["total"]["shed"] == 2000 - len(deltas)
    # And the next turn is as if nothing had been.
    slow.stream(50, text="word ")
    assert text_of(slow.client.events(until="message.complete")) == "word " * 50


def test_hard_limit(build: Callable[..., House]) -> None:
    """Beyond the hard limit a client is dropped: that one, and no other slow one."""
    house = build("--max-queued-soft=4m", "--max-queued-hard=4m")
    healthy, other, slow = house.client(), house.slow(), house.slow()
    (kept,) = get_stuck(other, least=2 * MIB)

    drop(slow)

    assert slow.is_dropped()
    assert samples(house.server.port)["limits_total", "hard"] == 1
    healthy.turn(1000)
    assert other.is_stuck()
    other.reads(kept)


def test_all_together(build: Callable[..., House]) -> None:
    """When all that waits is too much the one with the most is dropped; the others lose nothing."""
    total = 24 * MIB
    house = build(*(f"--max-queued-{which}=24m" for which in ("soft", "hard", "total")))
    healthy, large = house.client(), house.slow()
    some = [house.slow() for _ in range(4)]
    # Below a share, which is 24 MiB for seven: none of these is ever the one with the most.
    kept = get_stuck(*some, least=5 * MIB // 2)

    # One of them gets something all the time, and so in the moment in which it is too much.
    had = drop(large, meanwhile=lambda: some[0].stream(0, whole="y"))

    assert had < total - 2 * MIB  # It was not the hard limit, which is the same.
    assert large.is_dropped()
    healthy.turn(1000)
    assert len(healthy.client.call("result.of_size", bytes=200_000)["text"]) == 200_000
    for one, count in zip(some, kept, strict=True):
        assert one.is_stuck()
        one.reads(count)


def drop(slow: Slow, meanwhile: Callable[[], None] = lambda: None) -> int:
    """Emit frames that must arrive until the server drops the client; how much it had waiting."""
    emitted = waiting = 0

    def is_gone() -> bool:
        nonlocal emitted, waiting
        assert emitted < 200  # 50 MB: more than the limits of these tests, and the kernel takes.
        slow.stream(0, whole=FRAME)
        emitted += 1
        meanwhile()
        row = slow.house.status().get(slow.seat)
        if row is not None:
            waiting = emitted * len(FRAME) - row["total"]["bytes_out"]
        return row is None

    wait_until(is_gone, "the client to be dropped")
    return waiting


@pytest.mark.parametrize("backend", ["worker"])
def test_window(build: Callable[..., House]) -> None:
    """A slow client's frames wait in Hermes' process; the front holds a window's worth."""
    house = build("--max-queued-soft=64m", "--max-queued-hard=64m")
    slow = house.slow()
    count = 3000
    before = Growth(house.processes)

    slow.flood(count)

    wait_until(slow.is_stuck, "the client to be stuck")
    assert slow.row["queued_bytes"] <= FRONT_SHARE
    assert before.of(house.server.pid) < 12 * MIB
    waits = count * len(WORD) - slow.row["total"]["bytes_out"]
    assert waits > 16 * MIB
    assert before.of(house.worker) > waits - FRONT_SHARE
    # Credit brings all of it over.
    events = slow.client.events(until="message.complete")
    assert [event["payload"]["n"] for event in events[1:-1]] == list(range(count))
    assert slow.row["total"]["shed"] == 0


def test_slow_senders(build: Callable[..., House]) -> None:
    """Those who send byte by byte, a head or a frame, keep nobody waiting."""
    house = build()
    healthy = house.client()
    heads = [Raw(house.server.port) for _ in range(10)]
    senders = [Raw(house.server.port) for _ in range(10)]
    for raw in senders:
        raw.send(opening(house.server))
        assert raw.status() == 101
    head = opening(house.server)
    frame = client_frame(b'{"jsonrpc":"2.0","id":"slow","method":"echo","params":{}}')

    for position in range(max(len(head), len(frame))):
        for raw in heads:
            raw.send(head[position : position + 1])
        for raw in senders:
            raw.send(frame[position : position + 1])
        assert healthy.client.call("echo", at=position) == {"at": position}
    healthy.turn(1000)

    for raw in heads:
        assert raw.status() == 101
    for raw in senders:
        assert raw.answer("slow")["result"] == {}
    for raw in heads + senders:
        raw.socket.close()
