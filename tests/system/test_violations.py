"""Raw bytes over a real socket, most of them wrong, to one server that has to outlive them all."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from collections.abc import Iterator

import pytest

from hermes_twisted.testing.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    WebSocketFrame,
    client_frame,
    handshake,
    read_frames,
    request,
)
from tests.conftest import find_port
from tests.system.conftest import PATIENCE, Client, Server, World

KIB = 1024
#: Small, so that what exceeds them is sent in no time.
OPTIONS = ("--max-message=64k", "--max-unfinished=128k", "--max-fragments=100", "--close-timeout=1")

OK = client_frame(b'{"jsonrpc":"2.0","id":"ok","method":"gateway.ping"}')


def closing(code: int | None, reason: bytes = b"") -> bytes:
    return client_frame(b"" if code is None else struct.pack("!H", code) + reason, CLOSE)


class Raw:
    """A TCP connection, byte by byte."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received = b""

    def send(self, *chunks: bytes) -> None:
        for chunk in chunks:
            self.socket.sendall(chunk)

    def no_more(self) -> None:
        """Half of the connection ends: ours."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def rest(self) -> bytes:
        """All that still comes, to the orderly end of the connection."""
        while data := self.socket.recv(65536):
            self.received += data
        received, self.received = self.received, b""
        return received

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of an answer."""
        while b"\r\n\r\n" not in self.received:
            data = self.socket.recv(65536)
            assert data, f"the connection ended after {self.received!r}"
            self.received += data
        head, _, self.received = self.received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        fields = (line.partition(":") for line in lines)
        return int(first.split()[1]), {name.lower(): value.strip() for name, _, value in fields}

    def status(self) -> int:
        return self.head()[0]

    def frames(self) -> list[WebSocketFrame]:
        """What has come of frames, which have to be whole."""
        received, self.received = self.received, b""
        return list(read_frames(received))

    def until_close(self) -> list[WebSocketFrame]:
        """The frames up to the server's close, behind which nothing may come."""
        frames: list[WebSocketFrame] = []
        while True:
            with contextlib.suppress(ValueError, IndexError):  # Not whole yet.
                frames += list(read_frames(self.received))
                self.received = b""
            if frames and frames[-1].opcode == CLOSE:
                return frames
            data = self.socket.recv(65536)
            assert data, f"the connection ended without a close, after {frames}"
            self.received += data

    def answer(self, identity: str) -> dict[str, object]:
        """The answer to a request."""
        while True:
            with contextlib.suppress(ValueError, IndexError):
                for frame in read_frames(self.received):
                    message = json.loads(frame.payload)
                    if message.get("id") == identity:
                        self.received = b""
                        return dict(message)
            data = self.socket.recv(65536)
            assert data, "the connection ended without an answer"
            self.received += data


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server for all of it."""
    with contextlib.closing(World(tmp_path_factory.mktemp("violations"))) as world:
        world.use_stub()
        yield world.twistd(find_port(), *OPTIONS)


@pytest.fixture(scope="module")
def bystander(server: Server) -> Client:
    """A client that is there all the time."""
    return server.client()


@pytest.fixture
def raw(server: Server, bystander: Client) -> Iterator[Raw]:
    """A connection; afterwards the server serves the bystander, and a client that comes then."""
    connection = Raw(server.port)
    with contextlib.closing(connection.socket):
        yield connection
    assert bystander.call("gateway.ping") == {"ok": True}
    other = Raw(server.port)
    with contextlib.closing(other.socket):
        other.send(opening(server))
        assert other.status() == 101
        other.send(OK)
        assert other.answer("ok")["result"] == {"ok": True}
        other.send(closing(1000))
        other.rest()


@pytest.fixture
def attached(raw: Raw, server: Server) -> Raw:
    """A WebSocket."""
    raw.send(opening(server))
    assert raw.status() == 101
    return raw


def opening(server: Server, *headers: tuple[str, str], without: tuple[str, ...] = ()) -> bytes:
    """A handshake with the key in it."""
    host = ("Host", f"127.0.0.1:{server.port}")
    names = {name.lower() for name, _value in headers} | {name.lower() for name in without}
    given = [*([] if "host" in names else [host]), *headers]
    return handshake(f"/api/ws?token={server.key}", given, without=without)


# Frames, and the code that each is closed with.

FRAMES: dict[str, tuple[int, bytes]] = {
    # RFC 6455 §5.2
    **{f"reserved bits {bits}": (1002, client_frame(b"{}", rsv=bits)) for bits in range(1, 8)},
    "reserved bit on a ping": (1002, client_frame(b"", PING, rsv=4)),
    "reserved bit on a close": (1002, client_frame(b"\x03\xe8", CLOSE, rsv=1)),
    "reserved bit on a continuation": (
        1002,
        client_frame(b"{", fin=False) + client_frame(b"}", CONTINUATION, rsv=4),
    ),
    **{
        f"reserved opcode {code}": (1002, client_frame(b"{}", code))
        for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    },
    "unmasked text": (1002, client_frame(b"{}", mask=None)),
    "unmasked empty text": (1002, client_frame(b"", mask=None)),
    "unmasked ping": (1002, client_frame(b"x", PING, mask=None)),
    "unmasked pong": (1002, client_frame(b"", PONG, mask=None)),
    "unmasked continuation": (
        1002,
        client_frame(b"{", fin=False) + client_frame(b"}", CONTINUATION, mask=None),
    ),
    "unmasked close": (1002, client_frame(b"\x03\xe8", CLOSE, mask=None)),
    "two bytes for 0": (1002, client_frame(b"", size=2)),
    "two bytes for 125": (1002, client_frame(b"x" * 125, size=2)),
    "eight bytes for 2": (1002, client_frame(b"{}", size=8)),
    "eight bytes for 126": (1002, client_frame(b"x" * 126, size=8)),
    "eight bytes for 65535": (1002, client_frame(b"x" * 65535, size=8)),
    "length with the highest bit": (1002, client_frame(b"", length=2**63)),
    # §5.4
    "continuation of nothing": (1002, client_frame(b"{}", CONTINUATION)),
    "continuation of nothing, not the last": (1002, client_frame(b"{}", CONTINUATION, fin=False)),
    "text inside a message": (1002, client_frame(b"{", fin=False) + client_frame(b"}")),
    "text inside a message, after a ping": (
        1002,
        client_frame(b"{", fin=False) + client_frame(b"", PING) + client_frame(b"}"),
    ),
    "binary inside a message": (1002, client_frame(b"{", fin=False) + client_frame(b"}", BINARY)),
    "continuation after the last": (1002, OK + client_frame(b"", CONTINUATION)),
    # §5.5
    **{
        f"fragmented {name}": (1002, client_frame(b"", code, fin=False))
        for name, code in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    },
    **{
        f"{name} of 126 bytes": (1002, client_frame(b"x" * 126, code))
        for name, code in (("ping", PING), ("pong", PONG), ("close", CLOSE))
    },
    "ping of 70,000 bytes": (1002, client_frame(b"x" * 70_000, PING)),
    "large ping inside a message": (
        1002,
        client_frame(b"{", fin=False) + client_frame(b"x" * 126, PING),
    ),
    # §7.4
    **{
        f"close code {code}": (1002, closing(code))
        for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535)
    },
    "close of one byte": (1002, client_frame(b"\x03", CLOSE)),
    "close reason that is not UTF-8": (1007, closing(1000, b"\xff")),
    "close reason that ends in a character": (1007, closing(1000, b"ok \xe2\x82")),
    # §8.1
    "not UTF-8": (1007, client_frame(b'"\xff"')),
    "overlong": (1007, client_frame(b'"\xc0\xaf"')),
    "overlong in three": (1007, client_frame(b'"\xe0\x80\xaf"')),
    "surrogate": (1007, client_frame(b'"\xed\xa0\x80"')),
    "above U+10FFFF": (1007, client_frame(b'"\xf4\x90\x80\x80"')),
    "five bytes": (1007, client_frame(b'"\xf8\x88\x80\x80\x80"')),
    "ends in a character": (1007, client_frame(b'"\xe2\x82')),
    "continuation byte first": (1007, client_frame(b"\x80")),
    "not UTF-8 in the second fragment": (
        1007,
        client_frame(b'"ok', fin=False) + client_frame(b'\xff"', CONTINUATION),
    ),
    "not UTF-8 over two fragments": (
        1007,
        client_frame(b'"\xe2', fin=False) + client_frame(b'\x28\xa1"', CONTINUATION),
    ),
    "surrogate over three fragments": (
        1007,
        client_frame(b'"\xed', fin=False)
        + client_frame(b"\xa0", CONTINUATION, fin=False)
        + client_frame(b'\x80"', CONTINUATION),
    ),
    "ends in a character over fragments": (
        1007,
        client_frame(b'"\xf0\x9f', fin=False) + client_frame(b"\x98", CONTINUATION),
    ),
    "character cut by a ping": (
        1007,
        client_frame(b'"\xe2', fin=False)
        + client_frame(b"\x82\xac", PING)
        + client_frame(b'"', CONTINUATION),
    ),
    "not UTF-8 in a frame of 60,000 bytes": (1007, client_frame(b"x" * 60_000 + b"\xff")),
    # What is not for us, and what is too much.
    "binary": (1003, client_frame(b"{}", BINARY)),
    "empty binary": (1003, client_frame(b"", BINARY)),
    "binary in fragments": (
        1003,
        client_frame(b"{", BINARY, fin=False) + client_frame(b"}", CONTINUATION),
    ),
    "one byte more": (1009, client_frame(b" " * (64 * KIB + 1))),
    "one byte more in fragments": (
        1009,
        client_frame(b" " * 40 * KIB, fin=False) + client_frame(b" " * 24577, CONTINUATION),
    ),
    "many empty fragments": (
        1008,
        client_frame(b"", fin=False) + client_frame(b"", CONTINUATION, fin=False) * 100,
    ),
    "many tiny fragments": (
        1008,
        client_frame(b" ", fin=False) + client_frame(b" ", CONTINUATION, fin=False) * 5000,
    ),
}


@pytest.mark.parametrize("size", [0, 1, 5], ids=["whole", "bytewise", "in fives"])
@pytest.mark.parametrize(("code", "data"), FRAMES.values(), ids=FRAMES)
def test_frames(attached: Raw, code: int, data: bytes, size: int) -> None:
    """A violation is closed with its code, and TCP ends in order once the client has closed."""
    if size and len(data) > KIB:
        size *= len(data) // 50

    step = size or len(data)
    attached.send(*(data[start : start + step] for start in range(0, len(data), step)))
    frames = attached.until_close()

    assert frames[-1].close_code == code
    # With more under way, and what would be a request, before its own close.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        attached.send(OK, closing(code))
    with contextlib.suppress(ConnectionResetError):  # A client's close came before.
        assert attached.rest() == b""


LIES = {
    "a length that never comes": (None, client_frame(b"{", length=50)),
    "a huge length": (1009, client_frame(b"{", length=2**40)),
    "the largest length": (1009, client_frame(b"", length=2**63 - 1)),
    "half a header": (None, b"\x81"),
    "a header without its mask": (None, b"\x81\x85\x01\x02"),
    "a header without its length": (None, b"\x81\xff\x00\x00\x00"),
    "a ping that never comes": (None, client_frame(b"x", PING, length=125)),
    "a fragment that is the last": (None, client_frame(b"{", fin=False)),
}


@pytest.mark.parametrize(("code", "data"), LIES.values(), ids=LIES)
def test_lies(attached: Raw, code: int | None, data: bytes) -> None:
    """A client that announces more than it sends costs only itself; its end is its end."""
    attached.send(data)

    if code is not None:
        assert attached.until_close()[-1].close_code == code
    attached.no_more()
    assert code is None or attached.rest() == b""


def test_short_length(attached: Raw) -> None:
    """A length that is too short leaves bytes that are no frame."""
    attached.send(client_frame(b'{"jsonrpc":"2.0"}', length=3) + b"\xff" * 20)

    assert attached.until_close()[-1].close_code == 1002


def test_unfinished_messages(server: Server, attached: Raw) -> None:
    """Of many that begin messages and do not end them, only the last is sent away."""
    first = client_frame(b" " * 60 * KIB, fin=False)
    with contextlib.ExitStack() as stack:
        others = [Raw(server.port) for _ in range(2)]
        for other in others:
            stack.enter_context(contextlib.closing(other.socket))
            other.send(opening(server))
            assert other.status() == 101
            # The pong says that all of it has been taken in.
            other.send(first, client_frame(b"in", PING))
            while b"in" not in other.received:
                other.received += other.socket.recv(4096)

        attached.send(first)

        assert attached.until_close()[-1].close_code == 1013
        for other in others:
            other.received = b""
            other.send(client_frame(b"1", CONTINUATION))
            while b"-32600" not in other.received:
                other.received += other.socket.recv(4096)


VALID = {
    "in one": [OK],
    "bytewise": [OK[n : n + 1] for n in range(len(OK))],
    "in fragments": [
        client_frame(b'{"jsonrpc":"2.0",', fin=False),
        client_frame(b"", PING),
        client_frame(b"", CONTINUATION, fin=False),
        client_frame(b'"id":"ok","method":"gateway.ping"}', CONTINUATION),
    ],
    "after an empty message": [client_frame(b"") + OK],
    "after pongs": [client_frame(b"unasked", PONG) * 100 + OK],
    "under a mask of zeros": [
        client_frame(b'{"jsonrpc":"2.0","id":"ok","method":"gateway.ping"}', mask=bytes(4))
    ],
    "of the largest size": [
        client_frame(b'{"jsonrpc":"2.0","id":"ok","method":"gateway.ping"}'.ljust(64 * KIB))
    ],
}


@pytest.mark.parametrize("chunks", VALID.values(), ids=VALID)
def test_valid(attached: Raw, chunks: list[bytes]) -> None:
    """What only looks odd is served."""
    attached.send(*chunks)

    while b'"ok"' not in attached.received:
        data = attached.socket.recv(65536)
        assert data
        attached.received += data


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 3000, 4999])
def test_closes(attached: Raw, code: int) -> None:
    """A proper close is echoed, and TCP ends in order."""
    attached.send(closing(code, b"bye"))

    frames = attached.until_close()

    assert frames[-1].payload == struct.pack("!H", code) + b"bye"
    assert attached.rest() == b""


def test_no_answer(attached: Raw) -> None:
    """A client that does not answer our close is let go all the same."""
    attached.send(client_frame(b"{}", BINARY))
    assert attached.until_close()[-1].close_code == 1003

    with contextlib.suppress(ConnectionResetError):
        assert attached.rest() == b""


# Heads: each line of the request may be changed, and the answer is a status.


def edit(server: Server, old: bytes, new: bytes) -> bytes:
    data = opening(server)
    assert old in data
    return data.replace(old, new, 1)


LINE = b" HTTP/1.1\r\n"
KEY = b"Sec-WebSocket-Key: "
VERSION = b"Sec-WebSocket-Version: 13"

#: What is replaced in a good handshake, by what, the status, and whether the connection ends.
HEADS: dict[str, tuple[bytes, bytes, int, bool]] = {
    "bare LF": (LINE, b" HTTP/1.1\n", 400, True),
    "bare LF in the middle": (VERSION + b"\r\n", VERSION + b"\n", 400, True),
    "bare CR": (LINE, LINE + b"A: b\rC: d\r\n", 400, True),
    "CR CR LF": (LINE, b" HTTP/1.1\r\r\n", 400, True),
    "NUL in a value": (LINE, LINE + b"A: \0\r\n", 400, True),
    "NUL in a name": (LINE, LINE + b"A\0: b\r\n", 400, True),
    "NUL in the target": (LINE, b"\0" + LINE, 400, True),
    "vertical tab": (LINE, LINE + b"A: b\x0bOrigin: x\r\n", 400, True),
    "form feed": (LINE, LINE + b"A: b\x0cOrigin: x\r\n", 400, True),
    "file separator": (LINE, LINE + b"A: b\x1cOrigin: x\r\n", 400, True),
    "folded line": (LINE, LINE + b"A: b\r\n c\r\n", 400, True),
    "folded with a tab": (LINE, LINE + b"A: b\r\n\tc\r\n", 400, True),
    "folded first line": (LINE, LINE + b" A: b\r\n", 400, True),
    "space before the colon": (b"Upgrade: ", b"Upgrade : ", 400, True),
    "tab before the colon": (b"Upgrade: ", b"Upgrade\t: ", 400, True),
    "space in a name": (LINE, LINE + b"A B: c\r\n", 400, True),
    "no colon": (LINE, LINE + b"nonsense\r\n", 400, True),
    "no name": (LINE, LINE + b": a\r\n", 400, True),
    "two Hosts": (b"\r\nHost: ", b"\r\nHost: evil.example\r\nHost: ", 400, True),
    "two Keys": (KEY, KEY + b"c2l4dGVlbiBieXRlcy4uLg==\r\n" + KEY, 400, True),
    "two Versions": (VERSION, VERSION + b"\r\n" + VERSION, 400, True),
    "two Origins": (LINE, LINE + b"Origin: http://a\r\norigin: http://b\r\n", 400, True),
    "two Upgrades": (b"Upgrade: ", b"Upgrade: h2c\r\nUpgrade: ", 400, True),
    "two lengths": (LINE, LINE + b"Content-Length: 0\r\nContent-Length: 0\r\n", 400, True),
    "length and chunks": (
        LINE,
        LINE + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        400,
        True,
    ),
    "length with a sign": (LINE, LINE + b"Content-Length: +1\r\n", 400, True),
    "length below zero": (LINE, LINE + b"Content-Length: -1\r\n", 400, True),
    "unknown transfer coding": (LINE, LINE + b"Transfer-Encoding: gzip\r\n", 400, True),
    "HTTP/1.0": (b"HTTP/1.1", b"HTTP/1.0", 400, True),
    "HTTP/0.9": (LINE, b"\r\n", 400, True),
    "HTTP/2.0": (b"HTTP/1.1", b"HTTP/2.0", 505, True),
    "HTTP/1.2": (b"HTTP/1.1", b"HTTP/1.2", 505, True),
    "http/1.1": (b"HTTP/1.1", b"http/1.1", 400, True),
    "two spaces": (b"GET ", b"GET  ", 400, True),
    "tab for a space": (b"GET ", b"GET\t", 400, True),
    "a fourth word": (LINE, b" x" + LINE, 400, True),
    "eight-bit target": (LINE, b"&a=\xff" + LINE, 400, True),
    "65 lines": (LINE, LINE + b"A: b\r\n" * 59, 431, True),
    "a head above 16 KiB": (LINE, LINE + b"A: " + b"x" * 16 * KIB + b"\r\n", 431, True),
    "a line above 16 KiB": (LINE, b"&a=" + b"x" * 16 * KIB + LINE, 431, True),
    "lower-case method": (b"GET", b"get", 405, False),
    "POST": (b"GET", b"POST", 405, False),
    "HEAD": (b"GET", b"HEAD", 405, False),
    "CONNECT": (b"GET", b"CONNECT", 405, False),
    "absolute form": (b"/api/ws", b"http://127.0.0.1/api/ws", 404, False),
    "two slashes": (b"/api/ws", b"//api/ws", 404, False),
    "dot segment": (b"/api/ws", b"/api/./ws", 404, False),
    "encoded path": (b"/api/ws", b"/api/%77s", 404, False),
    "fragment": (b"/api/ws", b"/api/ws#", 404, False),
    "asterisk": (b"/api/ws", b"*", 405, False),
    "no body, said so": (LINE, LINE + b"Content-Length: 0\r\n", 101, False),
    "no Upgrade": (b"Upgrade: websocket\r\n", b"", 426, False),
    "other Upgrade": (b"Upgrade: websocket", b"Upgrade: h2c", 426, False),
    "no Connection": (b"Connection: Upgrade\r\n", b"", 426, False),
    "other Connection": (b"Connection: Upgrade", b"Connection: keep-alive", 426, False),
    "no Key": (KEY + b"c2l4dGVlbiBieXRlcy4uLg==\r\n", b"", 400, False),
    "short Key": (KEY, KEY + b"x", 400, False),
    "no Version": (VERSION + b"\r\n", b"", 400, False),
    "Version 8": (VERSION, b"Sec-WebSocket-Version: 8", 426, False),
    "Version 13, 8": (VERSION, VERSION + b", 8", 426, False),
    "an Origin": (LINE, LINE + b"Origin: http://evil.example\r\n", 403, False),
    "an empty Origin": (LINE, LINE + b"Origin:\r\n", 403, False),
    "null Origin": (LINE, LINE + b"Origin: null\r\n", 403, False),
    "an extension": (
        LINE,
        LINE + b"Sec-WebSocket-Extensions: permessage-deflate; x\r\n",
        101,
        False,
    ),
    "subprotocols": (LINE, LINE + b"Sec-WebSocket-Protocol: a, a\r\n", 101, False),
    "a NEL in a value": (LINE, LINE + b"A: b\x85Origin: http://evil.example\r\n", 101, False),
    "one empty line first": (b"GET", b"\r\nGET", 101, False),
}


@pytest.mark.parametrize("size", [0, 1], ids=["whole", "bytewise"])
@pytest.mark.parametrize(("old", "new", "status", "ends"), HEADS.values(), ids=HEADS)
def test_heads(
    raw: Raw, server: Server, old: bytes, new: bytes, status: int, ends: bool, size: int
) -> None:
    """Each oddity has its status; where the head cannot be trusted, the connection ends."""
    data = edit(server, old, new)
    if size:
        size = 1 if len(data) < KIB else 500

    with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # Refused before its end.
        raw.send(
            *(data[n : n + (size or len(data))] for n in range(0, len(data), size or len(data)))
        )
    got, headers = raw.head()

    assert got == status
    assert "server" not in headers
    if ends:
        with contextlib.suppress(ConnectionResetError):  # More had been sent than was read.
            raw.rest()
    elif status != 101:
        raw.send(request("GET", "/health", [("Host", f"127.0.0.1:{server.port}")]))
        while b'{"status": "ok"}' not in raw.received:
            received = raw.socket.recv(4096)
            assert received
            raw.received += received


def test_no_host(raw: Raw, server: Server) -> None:
    """HTTP/1.1 has a Host."""
    raw.send(handshake(f"/api/ws?token={server.key}", without=["Host"]))

    assert raw.status() == 400
    raw.rest()


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1:1", "127.0.0.1:evil", "127.0.0.1:9@evil", "a, b", ""]
)
def test_other_hosts(raw: Raw, server: Server, host: str) -> None:
    """Another server's name is not ours."""
    raw.send(opening(server, ("Host", host)))

    assert raw.status() == 403


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ([("Content-Length", "3")], b"abc", 400),
        ([("Transfer-Encoding", "chunked")], b"3\r\nabc\r\n0\r\n\r\n", 400),
        ([("Content-Length", "99999999")], b"", 413),
        ([("Transfer-Encoding", "chunked")], b"zz\r\n", 400),
        ([("Transfer-Encoding", "chunked")], (b"2000\r\n" + b"x" * 8192 + b"\r\n") * 9, 413),
    ],
)
def test_bodies(
    raw: Raw, server: Server, headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    """A handshake has no body."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        raw.send(opening(server, *headers) + body)

    assert raw.status() == status


@pytest.mark.parametrize("garbage", [bytes(200), bytes(40_000), b"SSH-2.0-x\n", b"\xff\n"])
def test_garbage(raw: Raw, garbage: bytes) -> None:
    """What is no HTTP at all is told so at once."""
    raw.send(garbage)

    assert raw.status() in (400, 431)


def test_tls(raw: Raw) -> None:
    """A client that speaks TLS would not understand an answer."""
    raw.send(b"\x16\x03\x01\x02\x00\x01" + bytes(200))

    assert raw.rest() == b""


# What rides behind a handshake.


def test_frames_behind_the_handshake(raw: Raw, server: Server) -> None:
    """Frames that no client may send yet are dropped; those that come after the answer count."""
    raw.send(opening(server) + OK * 3)
    assert raw.status() == 101

    raw.send(client_frame(b"{}"))
    while b"-32600" not in raw.received:
        raw.received += raw.socket.recv(4096)
    assert b'"id":"ok"' not in raw.received


def test_violation_behind_the_handshake(raw: Raw, server: Server) -> None:
    """So is a violation."""
    raw.send(opening(server) + client_frame(b"{}", mask=None))
    assert raw.status() == 101

    raw.send(OK)
    assert raw.answer("ok")["result"] == {"ok": True}


def test_request_behind_the_handshake(raw: Raw, server: Server) -> None:
    """Another request is not answered over HTTP any more."""
    raw.send(opening(server) + request("GET", "/health", [("Host", "127.0.0.1")]))
    assert raw.status() == 101

    raw.send(closing(1000))
    assert b"HTTP" not in raw.rest()


def test_frames_behind_a_refused_handshake(raw: Raw, server: Server) -> None:
    """Frames behind a refusal are no request: nothing of them is interpreted."""
    raw.send(opening(server).replace(server.key.encode(), b"wrong") + OK)

    assert raw.status() == 401
    assert b'"ok"' not in raw.rest()


# Half-open connections.


@pytest.mark.parametrize("data", [b"", b"GET", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_half_open_before_a_request(raw: Raw, data: bytes) -> None:
    """Who can never finish its request is let go at once."""
    raw.send(data)
    raw.no_more()

    assert raw.rest() == b""


@pytest.mark.parametrize("times", [1, 3])
def test_half_open_after_requests(raw: Raw, server: Server, times: int) -> None:
    """Who ends its half after its requests still gets the answers."""
    raw.send(request("GET", "/health", [("Host", "127.0.0.1")]) * times)
    raw.no_more()

    assert raw.rest().count(b'{"status": "ok"}') == times


def test_half_open_after_a_wrong_key(raw: Raw, server: Server) -> None:
    """Also when that is a refusal."""
    raw.send(opening(server).replace(server.key.encode(), b"wrong"))
    raw.no_more()

    assert raw.status() == 401
    raw.rest()


@pytest.mark.parametrize(
    "data", [b"", b"\x81", client_frame(b"{}", length=9), client_frame(b"{", fin=False), OK]
)
def test_half_open_websocket(attached: Raw, data: bytes) -> None:
    """Who ends its half without a close has gone; its connection ends at once."""
    attached.send(data)
    attached.no_more()

    attached.rest()


def test_half_open_after_a_close(attached: Raw) -> None:
    """A close is answered, also to who ends its half right behind it."""
    attached.send(closing(1000))
    attached.no_more()

    assert attached.until_close()[-1].close_code == 1000
    assert attached.rest() == b""


def test_half_open_after_a_violation(attached: Raw) -> None:
    """The connection does not outlive its client."""
    attached.send(client_frame(b"{}", BINARY))
    attached.no_more()

    attached.rest()


@pytest.mark.parametrize("data", [b"", b"\x81", OK * 1000])
def test_reset(attached: Raw, data: bytes) -> None:
    """A client that is gone in the middle of it is gone."""
    attached.send(data)

    attached.reset()
