"""Clients with a key that send too much of something: what that costs a real process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from websockets.sync.client import connect

from hermes_twisted.testing.wire import CONTINUATION, PING, client_frame, request
from tests.conftest import skip
from tests.system.conftest import PATIENCE, Client, Server, World, wait_until
from tests.system.test_violations import Raw, opening

MIB = 1024 * 1024
OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
COMPRESSED = 4


def peak(server: Server) -> int:
    """The most memory that the front has ever had, in bytes."""
    for line in Path(f"/proc/{server.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no VmHWM")


def memory(server: Server) -> int:
    """What it has now."""
    return int(Path(f"/proc/{server.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def reset_peak(server: Server) -> int:
    """Begin to measure; the memory now."""
    Path(f"/proc/{server.pid}/clear_refs").write_text("5")
    return peak(server)


def spaces(size: int) -> bytes:
    """*size* MiB of spaces, compressed."""
    stream = zlib.compressobj(9, wbits=-12)
    stream.compress(b" " * MIB)
    stream.flush(zlib.Z_FULL_FLUSH)
    # From here on each MiB looks the same, because nothing before it is referred to.
    one = stream.compress(b" " * MIB) + stream.flush(zlib.Z_FULL_FLUSH)
    return one * size


def attach(server: Server, stack: contextlib.ExitStack, *headers: tuple[str, str]) -> Raw:
    raw = Raw(server.port)
    stack.enter_context(contextlib.closing(raw.socket))
    raw.send(opening(server, *headers))
    status, answer = raw.head()
    assert status == 101
    assert ("sec-websocket-extensions" in answer) == bool(headers)
    return raw


def still_served(bystander: Client) -> None:
    assert bystander.call("gateway.ping") == {"ok": True}


def test_bombs(world: World, free_port: int) -> None:
    """A gigabyte in a megabyte, ten times, costs no more than a few messages of the limit."""
    server = world.twistd(free_port, "--compress")
    bystander = server.client()
    bomb = spaces(1024)
    assert len(bomb) < 2 * MIB
    before = reset_peak(server)

    with contextlib.ExitStack() as stack:
        for _ in range(10):
            raw = attach(server, stack, OFFER)
            with contextlib.suppress(ConnectionResetError, BrokenPipeError):
                raw.send(client_frame(bomb, rsv=COMPRESSED))
            assert raw.until_close()[-1].close_code == 1009
            still_served(bystander)

    assert peak(server) - before < 64 * MIB


def test_bombs_that_do_not_explode(world: World, free_port: int) -> None:
    """Messages that stay below the limit, and are never finished, cost what all may have."""
    server = world.twistd(free_port, "--compress", "--max-unfinished=32m")
    bystander = server.client()
    part = client_frame(spaces(10), rsv=COMPRESSED, fin=False)
    before = reset_peak(server)

    with contextlib.ExitStack() as stack:
        codes = []
        for _ in range(10):
            raw = attach(server, stack, OFFER)
            raw.send(part, client_frame(b"taken", PING))
            while b"taken" not in raw.received and b"\x88" not in raw.received:
                raw.received += raw.socket.recv(65536)
            codes.append(raw.until_close()[-1].close_code if b"\x88" in raw.received else None)
        assert codes == [None] * 3 + [1013] * 7
        still_served(bystander)

    assert peak(server) - before < 96 * MIB


def test_fragments(world: World, free_port: int) -> None:
    """As many fragments as there may be, and one more, are taken in without growing."""
    server = world.twistd(free_port)
    bystander = server.client()
    before = reset_peak(server)

    with contextlib.ExitStack() as stack:
        raw = attach(server, stack)
        raw.send(
            client_frame(b"", fin=False), client_frame(b"  ", CONTINUATION, fin=False) * 131_071
        )
        still_served(bystander)
        raw.send(client_frame(b"", CONTINUATION, fin=False))
        assert raw.until_close()[-1].close_code == 1008

    assert peak(server) - before < 16 * MIB


def test_pings_without_reading(world: World, free_port: int) -> None:
    """Who pings and does not read is soon not read any more; its pongs do not pile up."""
    server = world.twistd(free_port)
    bystander = server.client()
    before = reset_peak(server)
    flood = client_frame(b"x" * 125, PING) * 1000
    sent = 0

    with contextlib.ExitStack() as stack:
        raw = attach(server, stack)
        raw.socket.settimeout(1.0)
        # So much the kernel's buffers may take, at both ends and in both directions.
        with pytest.raises(TimeoutError):
            while sent < 256 * MIB:
                sent += raw.socket.send(flood)
        still_served(bystander)
        assert peak(server) - before < 16 * MIB

        # It reads again, and is read again.
        raw.socket.settimeout(PATIENCE)
        raw.socket.setblocking(False)
        end = client_frame(b"the end", PING)
        unsent = flood[sent % len(flood) :] + end if sent % len(flood) else end

        def goes_on() -> bool:
            nonlocal unsent
            with contextlib.suppress(BlockingIOError):
                raw.received = raw.received[-100:] + raw.socket.recv(MIB)
            with contextlib.suppress(BlockingIOError):
                unsent = unsent[raw.socket.send(unsent) :] if unsent else unsent
            return b"the end" in raw.received

        wait_until(goes_on, "the last pong")


def test_sockets_without_a_key(world: World, free_port: int) -> None:
    """Two hundred that send a head and a body up to their limits cost 32 KiB each at most."""
    server = world.twistd(free_port)
    bystander = server.client()
    host = ("Host", f"127.0.0.1:{free_port}")
    head = request("POST", "/", [host, ("Content-Length", "65536")]).removesuffix(b"\r\n")
    fields = b"".join(b"X-%d: %b\r\n" % (n, b"x" * 250) for n in range(60))
    assert 15_000 < len(head + fields) < 16_384

    def held() -> int:
        with contextlib.ExitStack() as stack:
            for _ in range(200):
                raw = Raw(server.port)
                stack.enter_context(contextlib.closing(raw.socket))
                raw.send(head + fields, b"\r\n" + b"x" * 65535)
            for _ in range(10):  # Each is a turn of the loop, which reads every socket.
                still_served(bystander)
            return memory(server)

    held()  # What the process needs once is not counted.
    before = memory(server)

    assert held() - before < 200 * 32 * 1024


def test_echo(world: World, free_port: int) -> None:
    """`hermes-attach echo` echoes, with compression if that is asked for, on 127.0.0.1 alone."""
    server = world.start(["hermes-attach", "echo", f"--port={free_port}", "--compress"], free_port)
    server.wait_for_port()
    with connect(f"ws://127.0.0.1:{free_port}/", proxy=None) as socket:
        for message in ("text", b"\xff", "x" * 100_000):
            socket.send(message)
            assert socket.recv() == message
        assert [type(extension).__name__ for extension in socket.protocol.extensions] == [
            "PerMessageDeflate"
        ]
    listening = Path(f"/proc/{server.pid}/net/tcp").read_text() + (
        Path(f"/proc/{server.pid}/net/tcp6").read_text()
    )
    addresses = {
        line.split()[1].partition(":")[0]
        for line in listening.splitlines()
        if f":{free_port:04X} " in line and " 0A " in line
    }
    assert addresses == {"0100007F"}


_NODE = """
const socket = new WebSocket(process.argv[1]);
const sizes = [10, 1023, 1024, 100000, 1048000, 1049000, 5000000];
const ask = () => {
  const text = '"\\u00fc{}"'.repeat(sizes[0]).slice(0, sizes[0]);
  asked = text;
  socket.send(JSON.stringify({ jsonrpc: "2.0", id: sizes[0], method: "echo", params: { text } }));
};
let asked = "";
socket.onmessage = (event) => {
  const frame = JSON.parse(event.data);
  if (frame.method === "event" && frame.params.type === "gateway.ready") ask();
  if (frame.id !== sizes[0]) return;
  if (frame.result.text !== asked) throw new Error("not what was sent");
  sizes.shift();
  if (sizes.length) ask();
  else socket.close(1000);
};
socket.onclose = (event) => console.log(event.code, sizes.length, socket.extensions);
"""


@pytest.mark.ui
def test_node(world: World, free_port: int) -> None:
    """The stock client's WebSocket takes what we compress, and lives through large frames."""
    node = shutil.which("node")
    if node is None:
        skip("Node.js is not installed")
    server = world.twistd(free_port, "--compress")
    url = f"ws://127.0.0.1:{free_port}/api/ws?token={server.key}"

    done = subprocess.run(
        [str(node), "--experimental-websocket", "--no-warnings", "-e", _NODE, url],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )

    assert done.stdout.startswith("1000 0 permessage-deflate;"), json.dumps(
        [done.stdout, done.stderr]
    )
