"""What one client, and all together, may cost: each limit, its code, and its count."""

from __future__ import annotations

import json
import struct
import tracemalloc
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted.testing.wire import (
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    MemoryWire,
    WebSocketFrame,
    client_frame,
    handshake,
    request,
)
from hermes_twisted.websocket.deflate import LARGEST

#: Starts servers; `tests/wire/conftest.py` has these.
Start = Callable[..., Any]

HOST = ("Host", "127.0.0.1:8643")
OFFER = ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
TAIL = b"\0\0\xff\xff"
COMPRESSED = 4
KIB = 1024
MIB = 1024 * KIB


def closing(frames: list[WebSocketFrame]) -> int | None:
    """The code of the close frame that *frames* end with."""
    assert [frame.opcode for frame in frames].count(CLOSE) == 1
    assert frames[-1].opcode == CLOSE
    return frames[-1].close_code


def closed(code: int) -> bytes:
    return client_frame(struct.pack("!H", code), CLOSE)


def rpc(number: int, **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": "a", "params": params}).encode()


def squeeze(data: bytes) -> bytes:
    stream = zlib.compressobj(9, wbits=-12)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def attach_compressed(server: Any) -> tuple[MemoryWire, Any]:
    """A client with which compression was agreed."""
    wire = server.wire()
    response = wire.upgrade(server.key, headers=[OFFER])
    assert response.headers["sec-websocket-extensions"].startswith("permessage-deflate;")
    return wire, server.backend.channels[-1]


def is_served(server: Any) -> bool:
    """Whether another client is let in and gets through."""
    wire, channel = server.attach()
    wire.send(rpc(1))
    served = len(channel.requests) == 1
    wire.hang_up()
    return served


# Messages.


def test_message(start: Start) -> None:
    """The limit of a message is counted when it strikes."""
    server = start(max_message=1000)
    wire, _channel = server.attach()

    wire.feed(client_frame(b"", length=1001))

    assert closing(wire.frames()) == 1009
    assert server.struck("max_message") == 1


def test_unfinished(start: Start) -> None:
    """Who goes beyond what all unfinished messages may have gets 1013; the others go on."""
    server = start(max_unfinished=10_000, max_message=8_000)
    (first, channel), (second, _) = server.attach(), server.attach()
    text = rpc(1, text="x" * 5900)

    first.feed(client_frame(text[:5950], fin=False))
    second.feed(client_frame(b'"' + b"x" * 4500, fin=False))

    assert closing(second.frames()) == 1013
    assert server.struck("unfinished") == 1
    assert first.frames() == []
    first.feed(client_frame(text[5950:], CONTINUATION))
    assert [request.text for request in channel.requests] == [text]
    assert is_served(server)


def test_unfinished_frame(start: Start) -> None:
    """A frame that has come in part counts with that part, not with what it declares."""
    server = start(max_unfinished=10_000, max_message=8_000)
    wires = [server.attach()[0] for _ in range(4)]
    frame = client_frame(b"x" * 8000)

    for wire in wires[:3]:
        wire.feed(frame[:3000])
    assert [wire.frames() for wire in wires] == [[]] * 4
    wires[3].feed(frame[:3000])

    assert closing(wires[3].frames()) == 1013


@pytest.mark.parametrize("end", ["finish", "hang up", "violate", "close"])
def test_unfinished_is_given_back(start: Start, end: str) -> None:
    """However an unfinished message ends, its bytes are free again."""
    server = start(max_unfinished=1000, max_message=1000)
    last = {
        "finish": client_frame(b"}", CONTINUATION),
        "hang up": b"",
        "violate": client_frame(b"x"),
        "close": closed(1000),
    }[end]

    for _ in range(5):
        wire, _channel = server.attach()
        wire.feed(client_frame(b"{" + b" " * 900, fin=False), last)
        if end == "hang up":
            wire.hang_up()
        assert 1013 not in [frame.close_code for frame in wire.frames() if frame.opcode == CLOSE]

    assert server.struck("unfinished") == 0


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "tiny"])
def test_fragments(start: Start, payload: bytes) -> None:
    """A flood of fragments ends with 1008."""
    server = start(max_fragments=1000)
    wire, _channel = server.attach()
    flood = client_frame(payload, CONTINUATION, fin=False) * 500

    wire.feed(client_frame(payload, fin=False), flood, flood[: -len(flood) // 500])
    assert wire.frames() == []
    wire.feed(flood)

    assert closing(wire.frames()) == 1008
    assert server.struck("max_fragments") == 1
    assert is_served(server)


def test_waiting(start: Start) -> None:
    """A client that is not read because of its requests is counted."""
    server = start(max_waiting_requests=4)
    wire, _channel = server.attach()

    wire.send(*map(rpc, range(4)))

    assert not wire.reading
    assert server.struck("waiting_requests") == 1


def test_queued(start: Start) -> None:
    """So is one that is dropped because it does not read."""
    server = start(max_queued_soft=1000, max_queued_hard=2000)
    wire, channel = server.attach()
    wire.block()

    channel.say(*[b"x" * 1000] * 4)
    server.loop.advance(0)

    assert wire.aborted
    assert server.struck("hard") == 1


def test_silence(start: Start) -> None:
    """And one that was silent for too long."""
    server = start(dead_after=60.0)
    server.attach()

    for _ in range(4):
        server.loop.advance(20)

    assert server.struck("dead_after") == 1


# Control frames.


def test_ping_flood(start: Start) -> None:
    """Of a flood of pings in one segment the first are answered, then the last."""
    server = start(max_pongs=10)
    wire, _channel = server.attach()

    wire.feed(b"".join(client_frame(b"%d" % number, PING) for number in range(1000)))

    assert wire.frames() == [
        WebSocketFrame(PONG, True, b"%d" % number) for number in [*range(10), 999]
    ]
    assert wire.reading
    wire.feed(client_frame(b"later", PING))
    assert wire.frames() == [WebSocketFrame(PONG, True, b"later")]


def test_ping_flood_that_is_not_read(start: Start) -> None:
    """Who pings but does not read its pongs gets none, and is not read, until it reads again."""
    server = start(max_pongs=10)
    wire, channel = server.attach()
    wire.block()

    wire.feed(*(client_frame(b"%d" % number, PING) for number in range(11)))
    assert not wire.reading
    for _ in range(1000):
        wire.feed(client_frame(b"x" * 125, PING) * 10)
    assert wire.writes == []
    assert server.struck("pongs") == 1

    wire.unblock()
    server.loop.advance(0)
    assert wire.frames()[0] == WebSocketFrame(PONG, True, b"10")
    assert wire.reading
    wire.send(rpc(1))
    assert len(channel.requests) == 1


def test_two_reasons_not_to_read(start: Start) -> None:
    """A client is read again when every limit allows it."""
    server = start(max_pongs=1, max_waiting_requests=2)
    wire, channel = server.attach()
    wire.block()

    wire.feed(client_frame(b"", PING) * 2 + client_frame(rpc(1)) + client_frame(rpc(2)))
    assert not wire.reading
    wire.unblock()
    assert not wire.reading
    channel.settle(2)
    server.loop.advance(0)

    assert wire.reading


def test_pong_flood(server: Any) -> None:
    """Pongs that nobody asked for are read over."""
    wire, channel = server.attach()

    wire.feed(*[client_frame(b"x" * 125, PONG) * 400] * 10, client_frame(rpc(1)))

    assert wire.frames() == []
    assert len(channel.requests) == 1


# Compression.


def test_compression_is_off(server: Any) -> None:
    """Unless the operator wants it, nothing is agreed, and RSV1 is a violation."""
    wire = server.wire()
    response = wire.upgrade(server.key, headers=[OFFER])
    assert "sec-websocket-extensions" not in response.headers

    wire.feed(client_frame(squeeze(rpc(1)), rsv=COMPRESSED))

    assert closing(wire.frames()) == 1002


@pytest.mark.parametrize("compress", [False, True])
@pytest.mark.parametrize(
    "offer",
    [
        "permessage-deflate; client_max_window_bits=99",
        "permessage-deflate; unheard-of",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-brotli",
        "permessage-bzip2",
        ";;;,",
        "permessage-deflate; a\x85b",
    ],
)
def test_declined_offers(start: Start, compress: bool, offer: str) -> None:
    """An offer that cannot be taken costs nobody the connection."""
    server = start(compress=compress)
    wire = server.wire()

    response = wire.upgrade(server.key, headers=[("Sec-WebSocket-Extensions", offer)])

    assert response.status == 101
    assert "sec-websocket-extensions" not in response.headers
    wire.send(rpc(1))
    assert len(server.backend.channels[0].requests) == 1


def test_compressed_in(start: Start) -> None:
    """Compressed and other messages come in turn, whole, cut and in fragments."""
    server = start(compress=True)
    wire, channel = attach_compressed(server)
    texts = [rpc(number, text="häß" * 500) for number in range(6)]
    squeezed = [squeeze(text) for text in texts]

    wire.feed(client_frame(squeezed[0], rsv=COMPRESSED) + client_frame(texts[1]))
    frame = client_frame(squeezed[2], rsv=COMPRESSED)
    wire.feed(*(frame[start : start + 3] for start in range(0, len(frame), 3)))
    wire.feed(
        client_frame(squeezed[3][:20], rsv=COMPRESSED, fin=False),
        client_frame(b"", PING),
        client_frame(squeezed[3][20:], CONTINUATION),
    )
    wire.feed(client_frame(texts[4][:20], fin=False) + client_frame(texts[4][20:], CONTINUATION))
    wire.feed(client_frame(squeezed[5], rsv=COMPRESSED))

    assert [request.text for request in channel.requests] == texts


def compressed_frames(data: bytes) -> list[tuple[bool, bytes]]:
    """Whether each text frame in *data* is compressed, and its text."""
    found = []
    while data:
        first, short = data[0], data[1]
        size = {126: 2, 127: 8}.get(short, 0)
        length = int.from_bytes(data[2 : 2 + size]) if size else short
        body, data = data[2 + size : 2 + size + length], data[2 + size + length :]
        assert first & 0xBF == 0x80 | TEXT
        if first & 0x40:
            body = zlib.decompressobj(-12).decompress(body + TAIL)
        found.append((bool(first & 0x40), body))
    return found


def test_compressed_out(start: Start) -> None:
    """Frames of 1 KiB to 1 MiB go compressed, each by itself; others go as they are."""
    server = start(compress=True)
    wire, channel = attach_compressed(server)
    sizes = [10, KIB - 1, KIB, 100_000, LARGEST, LARGEST + 1, 5 * MIB, 2000]
    texts = [b"[" + b" " * (size - 2) + b"]" for size in sizes]

    channel.say(*texts)
    server.loop.advance(0)

    frames = compressed_frames(wire.take())
    assert [text for _compressed, text in frames] == texts
    assert [compressed for compressed, _text in frames] == [KIB <= n <= LARGEST for n in sizes]


def test_others_are_not_compressed(start: Start) -> None:
    """A client that offers no compression has none."""
    server = start(compress=True)
    wire, channel = server.attach()

    channel.say(b"x" * 10_000)
    server.loop.advance(0)

    assert wire.texts() == [b"x" * 10_000]


@pytest.mark.parametrize("size", [1001, 50_000, 20 * MIB])
@pytest.mark.parametrize("piece", [7, 100_000])
def test_bomb(start: Start, size: int, piece: int) -> None:
    """What inflates beyond the limit of a message is closed with 1009 while it inflates."""
    server = start(compress=True, max_message=1000)
    wire, channel = attach_compressed(server)
    bomb = squeeze(b" " * size)[:900]

    frame = client_frame(bomb, rsv=COMPRESSED)
    wire.feed(*(frame[start : start + piece] for start in range(0, len(frame), piece)))

    assert closing(wire.frames()) == 1009
    assert server.struck("max_message") == 1
    assert not channel.requests
    assert is_served(server)


def test_exactly_the_limit(start: Start) -> None:
    """What inflates to just the limit passes."""
    server = start(compress=True, max_message=1000)
    wire, channel = attach_compressed(server)
    text = rpc(1, text="")
    text = rpc(1, text="x" * (1000 - len(text)))

    wire.feed(client_frame(squeeze(text), rsv=COMPRESSED))

    assert [request.text for request in channel.requests] == [text]


@pytest.mark.parametrize("limit", ["max_message", "max_unfinished"])
def test_bomb_is_not_inflated(start: Start, limit: str) -> None:
    """No more is inflated than the limit that strikes, even for a moment."""
    server = start(compress=True, **{limit: 1000})
    wire, _channel = attach_compressed(server)
    frame = client_frame(squeeze(b" " * 10 * MIB), rsv=COMPRESSED)
    tracemalloc.start()

    wire.feed(frame)

    _now, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert closing(wire.frames()) == {"max_message": 1009, "max_unfinished": 1013}[limit]
    assert most < MIB


def test_fragmented_bomb(start: Start) -> None:
    """The limit is of the message, over all its fragments."""
    server = start(compress=True, max_message=100_000)
    wire, _channel = attach_compressed(server)
    bomb = squeeze(b" " * 100_001)

    wire.feed(client_frame(bomb[:10], rsv=COMPRESSED, fin=False))
    for start_at in range(10, len(bomb)):
        wire.feed(client_frame(bomb[start_at : start_at + 1], CONTINUATION, fin=False))

    assert closing(wire.frames()) == 1009


def test_inflated_counts_as_unfinished(start: Start) -> None:
    """Inflated bytes are taken from what all unfinished messages may have, while inflating."""
    server = start(compress=True, max_unfinished=10_000, max_message=8000)
    first, _channel = attach_compressed(server)
    second, _channel = attach_compressed(server)
    part = squeeze(b" " * 6000)

    first.feed(client_frame(part, rsv=COMPRESSED, fin=False))
    second.feed(client_frame(part, rsv=COMPRESSED, fin=False))

    assert closing(second.frames()) == 1013
    assert first.connected
    first.hang_up()
    assert is_served(server)
    third, _channel = attach_compressed(server)
    third.feed(client_frame(part, rsv=COMPRESSED, fin=False))
    assert third.frames() == []


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (client_frame(b"\xff\xff\xff", rsv=COMPRESSED), 1007),
        (client_frame(b"not deflated", rsv=COMPRESSED), 1007),
        (client_frame(squeeze(b"\xff\xfe"), rsv=COMPRESSED), 1007),
        (client_frame(squeeze(b'"\xe2\x82'), rsv=COMPRESSED), 1007),
        (client_frame(b"", PING, rsv=COMPRESSED), 1002),
        (client_frame(squeeze(b"{}"), rsv=6), 1002),
        (client_frame(b"{", fin=False) + client_frame(b"}", CONTINUATION, rsv=COMPRESSED), 1002),
    ],
)
def test_bad_compression(start: Start, data: bytes, code: int) -> None:
    """What is not deflated, or not text, or must not be compressed, is closed with its code."""
    server = start(compress=True)
    wire, channel = attach_compressed(server)

    wire.feed(data)
    assert closing(wire.frames()) == code
    wire.feed(closed(code))

    assert not wire.connected
    assert not channel.requests
    assert is_served(server)


# The end of a connection that we fail.

FAILURES = {
    1002: client_frame(b"{}", rsv=1),
    1003: client_frame(b"x" * 500, 2),
    1007: client_frame(b"\xff" * 100),
    1008: client_frame(b"", fin=False) + client_frame(b"", CONTINUATION, fin=False) * 4,
    1009: client_frame(b"x" * 2000),
    1013: client_frame(b"x" * 700, fin=False) + client_frame(b"x" * 200, CONTINUATION, fin=False),
}


@pytest.mark.parametrize("code", FAILURES)
@pytest.mark.parametrize("size", [1, 7, 10_000])
@pytest.mark.parametrize("between", [b"", client_frame(rpc(1)) * 3 + client_frame(b"", PING)])
def test_the_answer_to_our_close_is_read(
    start: Start, code: int, size: int, between: bytes
) -> None:
    """Whatever the client still had under way, its own close ends TCP at once, in order."""
    server = start(max_message=1000, max_unfinished=800, max_fragments=4)
    wire, channel = server.attach()
    data = FAILURES[code] + between

    wire.feed(*(data[start : start + size] for start in range(0, len(data), size)))
    assert closing(wire.frames()) == code
    assert wire.connected
    wire.feed(closed(code))

    assert not wire.connected
    assert not wire.aborted
    assert channel.closed
    assert not channel.requests


def test_two_faults_in_one_message(start: Start) -> None:
    """The first violation decides; the second does not cost the client the time to answer."""
    server = start(compress=True)
    wire, _channel = attach_compressed(server)
    # Deflated text that ends within a character, then a block that is not there.
    data = squeeze(b'"\xe2\x82') + b"\x00\x05\x00\xfa\xff"

    wire.feed(client_frame(data, rsv=COMPRESSED))
    assert closing(wire.frames()) == 1007
    assert wire.connected
    wire.feed(closed(1007))

    assert not wire.connected
    assert not wire.aborted


def test_the_answer_of_a_client_that_is_not_read(start: Start) -> None:
    """One that was not read, for its many requests, is, once we have failed the connection."""
    server = start(max_waiting_requests=2)
    wire, channel = server.attach()

    wire.feed(client_frame(rpc(1)) + client_frame(rpc(2)) + FAILURES[1002], closed(1002))

    assert closing(wire.frames()) == 1002
    assert not wire.connected
    assert not wire.aborted
    assert channel.closed


@pytest.mark.parametrize(
    "payload", [b"\x03", b"\x03\xec", b"\x03\xe8\xff", b"\x03\xe8" + b"x" * 200]
)
def test_a_bad_close_is_a_close(server: Any, payload: bytes) -> None:
    """After a close that breaks a rule nothing more can come: it is answered, and TCP ends."""
    wire, _channel = server.attach()

    wire.feed(client_frame(payload, CLOSE))

    assert closing(wire.frames()) in (1002, 1007)
    assert not wire.connected
    assert not wire.aborted


def test_the_answer_to_the_stop_is_read(start: Start) -> None:
    """A client that was not read, for its many requests, is, once the server closes."""
    server = start(max_waiting_requests=2)
    wire, channel = server.attach()
    wire.send(rpc(1), rpc(2))
    assert not wire.reading

    done: list[Any] = []
    server.stop().addCallback(done.append)
    wire.feed(client_frame(rpc(3)), closed(1001))

    assert done
    assert not wire.aborted
    assert len(channel.requests) == 2


def test_no_answer_to_our_close(start: Start) -> None:
    """A client that does not answer is dropped when its time is over, and counted."""
    server = start(close_timeout=5.0)
    wire, _channel = server.attach()
    wire.feed(FAILURES[1002])

    server.loop.advance(4.9)
    assert wire.connected
    server.loop.advance(0.2)

    assert wire.aborted
    assert server.struck("close") == 1


def test_close_of_a_client_that_does_not_read(start: Start) -> None:
    """A client that closes but does not read what it gets is dropped when its time is over."""
    server = start(close_timeout=5.0)
    wire, channel = server.attach()
    wire.block()
    channel.say(b"x" * 1000)
    wire.feed(closed(1000))

    server.loop.advance(4.9)
    assert wire.connected
    server.loop.advance(0.2)

    assert wire.aborted
    assert channel.closed
    assert server.struck("close") == 1


def test_violations_are_counted(server: Any) -> None:
    """By their code."""
    for code in (1002, 1003, 1007):
        wire, _channel = server.attach()
        wire.feed(FAILURES[code] * 3)

    counted = {key: sum for key, sum in server.meter.counts.items() if key[0] == "violation"}
    assert counted == {("violation", str(code)): 1 for code in (1002, 1003, 1007)}


# Before there is a WebSocket.


def refusal(server: Any, data: bytes) -> int:
    """The status of the one answer to *data*, after which the connection is closed."""
    wire = server.wire()
    wire.feed(data)
    response = wire.response()
    assert response.headers["connection"] == "close"
    assert response.body.startswith(b"%d: " % response.status)
    assert wire.take() == b""
    assert not wire.connected
    assert server.wire().ask(request("GET", "/health", [HOST])).status == 200
    return response.status


def padded(size: int) -> bytes:
    """A handshake whose head has *size* bytes."""
    head = handshake("/api/ws", [("X-Long", "")])
    return handshake("/api/ws", [("X-Long", "x" * (size - len(head)))])


def test_head_of_the_limit(server: Any) -> None:
    """A head of 16 KiB is read, in however many pieces."""
    data = padded(16 * KIB)
    assert len(data) == 16 * KIB

    assert server.wire().ask(data).status == 401
    wire = server.wire()
    wire.feed(*(data[start : start + 1000] for start in range(0, len(data), 1000)))
    assert wire.response().status == 401


def lines(count: int) -> bytes:
    """A request with *count* lines."""
    return request("GET", "/health", [HOST, *[("A", "b")] * (count - 2)])


LARGE_HEADS = {
    "one byte more": padded(16 * KIB + 1),
    "one line": b"GET /" + b"x" * 20_000,
    "a line that never ends": request("GET", "/", [HOST])[:-2] + b"A: " + b"x" * 17_000,
    "many short lines": request("GET", "/", [HOST])[:-2] + b"A: b\r\n" * 70,
    "64 lines and one more": lines(65),
}


@pytest.mark.parametrize("data", LARGE_HEADS.values(), ids=LARGE_HEADS)
def test_large_heads(server: Any, data: bytes) -> None:
    """A head above 16 KiB or 64 lines is refused with 431 and the connection closed."""
    assert refusal(server, data) == 431
    assert server.struck("header") == 1


def test_lines_of_the_limit(server: Any) -> None:
    """64 lines are allowed."""
    assert server.wire().ask(lines(64)).status == 200


def test_endless_head_is_not_kept(server: Any) -> None:
    """However slowly it comes, no more than the limit is ever kept."""
    wire = server.wire()
    wire.feed(b"GET / HTTP/1.1\r\nHost: a\r\nA: ")

    for _ in range(16):
        wire.feed(b"x" * KIB)
    assert wire.response().status == 431
    assert not wire.connected


def test_other_header_limits(start: Start) -> None:
    """The limits are the operator's, also beyond twisted.web's own."""
    assert start(max_header=1000).wire().ask(padded(1001)).status == 431
    large = start(max_header=100 * KIB, max_header_lines=1000)

    assert large.wire().ask(padded(100 * KIB)).status == 401
    assert large.wire().ask(lines(1000)).status == 200


def test_limits_before_the_key_are_counted(start: Start) -> None:
    """Each limit on sockets without a key is counted when it strikes."""
    server = start(max_pending=2, max_connections=1, max_body=100)
    server.attach()

    server.wire().upgrade(server.key)
    assert server.struck("connections") == 1
    server.wire().ask(request("POST", "/", [HOST, ("Content-Length", "101")]))
    assert server.struck("body") == 1
    for _ in range(3):
        server.wire()
    server.loop.advance(0)
    assert server.struck("pending") >= 1
    server.loop.advance(11)
    assert server.struck("handshake") == 2


MALFORMED = {
    "bare LF": b"GET /health HTTP/1.1\nHost: a\n\n",
    "one bare LF": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\nA: b\r\n\r\n",
    "bare CR": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\rC: d\r\n\r\n",
    "NUL": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nA: \0\r\n\r\n",
    "folded": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\r\n c\r\n\r\n",
    "space before the colon": b"GET /health HTTP/1.1\r\nHost : 127.0.0.1\r\n\r\n",
    "two Hosts": b"GET /health HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
    "no Host": b"GET /health HTTP/1.1\r\n\r\n",
    "HTTP/0.9": b"GET /health\r\n",
}


@pytest.mark.parametrize("data", MALFORMED.values(), ids=MALFORMED)
def test_malformed_heads(server: Any, data: bytes) -> None:
    """What a lenient server might read in two ways is refused at once with 400."""
    assert refusal(server, data) == 400


def test_odd_headers_do_not_reach_autobahn(server: Any) -> None:
    """Autobahn splits lines at more than CR LF: only what it needs is handed to it."""
    odd = [
        ("X-Odd", "a\x85Origin: http://evil.example"),
        ("Sec-WebSocket-Protocol", "a, a"),
        ("Connection", "keep-alive, Upgrade, \x85X"),
        ("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits=8"),
    ]

    assert server.wire().upgrade(server.key, headers=odd).status == 101
