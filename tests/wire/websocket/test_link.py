"""One WebSocket, byte by byte, from its upgrade to its end."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.logger import LogLevel

from hermes_twisted.seats.ports import BackendState
from hermes_twisted.shared.packets import LARGE
from hermes_twisted.shared.problem import Problem
from hermes_twisted.testing.wire import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    MemoryWire,
    WebSocketFrame,
    apply_mask,
    client_frame,
    handshake,
    read_frames,
)
from hermes_twisted.websocket import link

CLOSE_NORMAL = b"\x03\xe8"

#: Starts servers; `tests/wire/conftest.py` has these.
Start = Callable[..., Any]


def rpc(number: int, method: str = "echo", **params: Any) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def closing(frames: list[WebSocketFrame]) -> tuple[int | None, bytes]:
    """The code and the reason of the close frame that *frames* end with."""
    assert [frame.opcode for frame in frames].count(CLOSE) == 1
    assert frames[-1].opcode == CLOSE
    return frames[-1].close_code, frames[-1].payload[2:]


def close_frame(code: int | None, reason: bytes = b"") -> bytes:
    payload = b"" if code is None else struct.pack("!H", code) + reason
    return client_frame(payload, CLOSE)


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# The upgrade.


def test_upgrade(server: Any) -> None:
    """A valid key gets 101 without a banner, an extension or a subprotocol, and a seat."""
    wire = server.wire()

    response = wire.upgrade(server.key)

    assert response.status == 101
    assert response.headers["upgrade"].lower() == "websocket"
    assert not {"server", "sec-websocket-extensions", "sec-websocket-protocol"} & {
        *response.headers
    }
    assert len(server.backend.channels) == 1
    assert wire.no_delay is True


def test_bearer(server: Any) -> None:
    """The key may come in an Authorization header as well as in the query."""
    wire = server.wire()

    response = wire.ask(handshake("/api/ws", [("Authorization", f"Bearer {server.key}")]))

    assert response.status == 101
    assert len(server.backend.channels) == 1


def test_no_compression(server: Any) -> None:
    """A client that offers compression gets a connection without it."""
    wire = server.wire()

    response = wire.upgrade(
        server.key, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")]
    )

    assert response.status == 101
    assert "sec-websocket-extensions" not in response.headers


def test_split_handshake(server: Any) -> None:
    """A handshake that comes byte by byte is as good as one in one piece."""
    wire = server.wire()

    wire.feed(*cut(handshake(f"/api/ws?token={server.key}"), 1))

    assert wire.response().status == 101
    wire.send(rpc(1))
    assert len(server.backend.channels[0].requests) == 1


def test_slot_is_left(server: Any) -> None:
    """An open WebSocket does not count as a socket without a key, and has no deadline."""
    server.attach()

    assert len(server.loop.site.pending) == 0
    server.loop.advance(60)
    assert server.wires[0].connected


# Requests in.


def test_request(server: Any) -> None:
    """A message is a request of the seat."""
    wire, channel = server.attach()

    wire.send(rpc(7, "prompt.submit", text="hi"))

    [request] = channel.requests
    assert (request.id, request.method) == (b"7", "prompt.submit")
    assert request.text == rpc(7, "prompt.submit", text="hi")


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_batch_in(server: Any, size: int) -> None:
    """Messages in one segment, or cut anywhere, arrive each once and in order."""
    wire, channel = server.attach()
    texts = [rpc(number, text="x" * (number * 40)) for number in range(20)]

    wire.feed(*cut(b"".join(map(client_frame, texts)), size))

    assert [request.text for request in channel.requests] == texts


def test_fragments_in(server: Any) -> None:
    """A message in fragments, with a ping between, is one message."""
    wire, channel = server.attach()
    text = rpc(1, text="häß")

    wire.feed(
        client_frame(text[:9], TEXT, fin=False),
        client_frame(b"still there?", PING),
        client_frame(b"", CONTINUATION, fin=False),
        client_frame(text[9:], CONTINUATION),
    )

    assert [request.text for request in channel.requests] == [text]
    assert wire.frames() == [WebSocketFrame(PONG, True, b"still there?")]


@pytest.mark.parametrize(("text", "code"), [(b"{", -32700), (b"[]", -32600), (b'{"id":1}', -32600)])
def test_bad_request(server: Any, text: bytes, code: int) -> None:
    """What is wrong with a request is answered; the connection stays."""
    wire, channel = server.attach()

    wire.send(text)

    [answer] = wire.texts()
    assert json.loads(answer)["error"]["code"] == code
    assert not channel.requests
    assert wire.connected


def test_empty_message(server: Any) -> None:
    """An empty message is no request, and no reason to close."""
    wire, channel = server.attach()

    wire.send(b"", b" \n", rpc(1))

    assert len(channel.requests) == 1
    assert wire.frames() == []


def test_gateway_ping(server: Any) -> None:
    """`gateway.ping` is answered at once, whatever Hermes does."""
    wire, channel = server.attach()

    wire.send(rpc(4, "gateway.ping"))

    assert [json.loads(text) for text in wire.texts()] == [
        {"jsonrpc": "2.0", "id": 4, "result": {"ok": True}}
    ]
    assert not channel.requests


def test_bug_in_a_seat(
    server: Any, monkeypatch: pytest.MonkeyPatch, log: list[Any], forgiven: list[Any]
) -> None:
    """A failure of ours is logged and does not cost the client its connection."""
    forgiven.append(ZeroDivisionError)
    wire, channel = server.attach()
    with monkeypatch.context() as broken:
        broken.setattr(channel, "submit", lambda frame: 1 / 0)
        wire.send(rpc(1))
        wire.feed(client_frame(rpc(2)[:5], fin=False), client_frame(rpc(2)[5:], CONTINUATION))

    wire.send(rpc(3))

    assert [request.id for request in channel.requests] == [b"3"]
    assert wire.connected
    assert len([event for event in log if event["log_level"] is LogLevel.critical]) == 2


# Frames out.


def test_frames_out(server: Any) -> None:
    """What Hermes says arrives as text messages, in order, as it is."""
    wire, channel = server.attach()
    texts = [b"{}", b'{"n":1}', '{"t":"ü\u2028"}'.encode(), b"x" * 126, b"y" * 65536]

    channel.say(*texts)
    server.loop.advance(0)

    assert wire.texts() == texts
    assert channel.delivered_bytes == sum(map(len, texts))


def test_one_write_per_batch(server: Any) -> None:
    """Frames that wait together go to the socket in one write."""
    wire, channel = server.attach()
    wire.take()

    channel.say(*(b"%d" % number for number in range(1000)))
    server.loop.advance(0)

    assert len(wire.writes) == 1
    assert wire.texts() == [b"%d" % number for number in range(1000)]


def test_blocked_socket(server: Any) -> None:
    """Nothing is sent into a full socket, and all of it, in order, when that is empty again."""
    wire, channel = server.attach()
    channel.say(b"first")
    server.loop.advance(0)
    assert wire.texts() == [b"first"]

    wire.block()
    for number in range(50):
        channel.say(b"%d" % number)
        server.loop.advance(0)
    assert wire.take() == b""
    assert channel.outbox.size > 0

    wire.unblock()
    assert wire.texts() == [b"%d" % number for number in range(50)]


def test_blocked_in_the_middle(server: Any) -> None:
    """A socket that fills up during a flush gets the rest later."""
    wire, channel = server.attach()
    large = [bytes([65 + number]) * 200_000 for number in range(8)]
    block_after_each_write(wire)
    channel.say(*large)
    server.loop.advance(0)
    taken = b""
    while piece := wire.take():
        assert len(piece) <= LARGE
        taken += piece
        wire.unblock()

    assert [frame.payload for frame in read_frames(taken)] == large


def block_after_each_write(wire: Any) -> None:
    """A socket that takes little at a time."""
    write = wire.writeSequence

    def fill_up(parts: list[bytes]) -> None:
        write(parts)
        wire.block()

    wire.writeSequence = fill_up


def test_nothing_comes_within_a_large_frame(server: Any) -> None:
    """A close frame in the midst of one waits for its end."""
    wire, channel = server.attach()
    large = b"x" * (5 * LARGE)
    block_after_each_write(wire)
    channel.say(large)
    server.loop.advance(0)

    wire.feed(b"\x81\x00")  # Not masked: a violation.

    message, close = read_frames(wire.take())
    assert (message.opcode, message.payload) == (TEXT, large)
    assert (close.opcode, close.payload[:2]) == (CLOSE, (1002).to_bytes(2))


def test_many_small_frames_need_few_writes(server: Any) -> None:
    """However many make a batch: a write is a system call."""
    wire, channel = server.attach()

    channel.say(*(b"x" * 100 for _ in range(5000)))
    server.loop.advance(0)

    assert len(wire.writes) <= 5000 * 102 // LARGE + 5
    assert len(wire.texts()) == 5000


def test_a_small_frame_behind_a_large_one(server: Any) -> None:
    """What is said while a large frame is under way comes after it, and in order."""
    wire, channel = server.attach()
    large = b"x" * (3 * LARGE)
    block_after_each_write(wire)
    channel.say(large)
    server.loop.advance(0)
    taken = wire.take()
    channel.say(b"1", b"2")
    server.loop.advance(0)
    wire.unblock()
    while piece := wire.take():
        taken += piece
        wire.unblock()

    assert [frame.payload for frame in read_frames(taken)] == [large, b"1", b"2"]


def test_a_large_frame_to_a_client_that_goes(server: Any) -> None:
    """What it did not take is forgotten, and nobody else notices."""
    wire, channel = server.attach()
    other, _channel = server.attach()
    block_after_each_write(wire)
    channel.say(b"x" * (5 * LARGE))
    server.loop.advance(0)
    wire.take()

    wire.hang_up()
    server.loop.advance(0)

    assert wire.take() == b""
    other.send(b'{"jsonrpc":"2.0","id":1,"method":"gateway.ping"}')
    assert json.loads(other.texts()[0])["id"] == 1


def test_overflow(start: Start) -> None:
    """A client with more to read than the hard limit is dropped without more ado."""
    server = start(max_queued_soft=1000, max_queued_hard=2000)
    wire, channel = server.attach()
    other, _channel = server.attach()
    wire.block()

    channel.say(*[b"x" * 1000] * 4)
    server.loop.advance(0)

    assert wire.aborted
    assert not wire.connected
    assert channel.closed
    assert other.connected


def test_notice(server: Any) -> None:
    """A change for the worse is told to every client."""
    wire, _channel = server.attach()

    server.backend.change(BackendState.RESTARTING, Problem("Hermes fell.", "See the log."))

    [text] = wire.texts()
    assert json.loads(text)["params"] == {
        "type": "browser.progress",
        "payload": {"message": "Hermes fell. Hermes is being restarted."},
    }


def test_attached_to_a_broken_backend(server: Any) -> None:
    """Who comes while Hermes cannot be served is let in and told why."""
    server.backend.change(BackendState.BROKEN, Problem("Hermes was not found.", "Install it."))

    wire, _channel = server.attach()

    assert b"Hermes was not found. Install it." in wire.take()


# A client that asks, or reads, too little or too much.


def test_waiting_requests_pause_reading(start: Start) -> None:
    """With its limit of requests waiting a client is not read, until half of them are done."""
    server = start(max_waiting_requests=8)
    wire, channel = server.attach()

    wire.feed(*(client_frame(rpc(number)) for number in range(20)))
    assert len(channel.requests) == 8
    assert not wire.reading

    channel.settle(4)
    server.loop.advance(0)
    assert not wire.reading

    channel.settle(1)
    server.loop.advance(0)
    assert [request.id for request in channel.requests] == [b"%d" % n for n in range(5, 13)]
    channel.settle(8)
    server.loop.advance(0)
    channel.settle(7)
    server.loop.advance(0)
    assert wire.reading
    assert channel.requests == []


def test_waiting_bytes_pause_reading(start: Start) -> None:
    """The same for the bytes of what waits."""
    server = start(max_waiting_bytes=10_000)
    wire, channel = server.attach()

    wire.feed(*(client_frame(rpc(number, text="x" * 6000)) for number in range(4)))
    assert len(channel.requests) == 2
    assert not wire.reading

    channel.settle(2)
    server.loop.advance(0)
    assert len(channel.requests) == 2


def test_slow_reader(start: Start) -> None:
    """Who does not read gets no more ordinary requests run; urgent ones pass."""
    server = start(max_unread=1000)
    wire, channel = server.attach()
    wire.block()
    channel.say(b"x" * 1001)

    wire.send(rpc(1), rpc(2, "session.interrupt"), rpc(3, "approval.respond"), rpc(4))
    wire.send(b'{"jsonrpc":"2.0","id":"q","result":{}}', rpc(5, "gateway.ping"))
    assert [request.id for request in channel.requests] == [b"2", b"3", b'"q"']

    wire.unblock()
    assert [request.id for request in channel.requests] == [b"2", b"3", b'"q"', b"1", b"4"]
    assert [text[:12] for text in wire.texts()] == [b"x" * 12, b'{"jsonrpc":"']


def test_slow_reader_that_asks(start: Start) -> None:
    """What is held for a slow reader counts as waiting: it is not read for ever."""
    server = start(max_unread=1000, max_waiting_requests=8)
    wire, channel = server.attach()
    wire.block()
    channel.say(b"x" * 1001)

    wire.feed(*(client_frame(rpc(number, "gateway.ping")) for number in range(20)))

    assert not wire.reading
    wire.unblock()
    server.loop.advance(0)
    assert len(wire.texts()) == 21
    assert wire.reading


# Pings.


@pytest.mark.parametrize("payload", [b"", b"a", b"x" * 125])
def test_ping(server: Any, payload: bytes) -> None:
    """A ping is answered with its payload."""
    wire, _channel = server.attach()

    wire.feed(client_frame(payload, PING))

    assert wire.frames() == [WebSocketFrame(PONG, True, payload)]


def test_pings_of_a_slow_reader(server: Any) -> None:
    """A client that pings but does not read gets one pong, for its latest ping."""
    wire, channel = server.attach()
    wire.block()

    for number in range(50):
        wire.feed(client_frame(b"%d" % number, PING))
    channel.say(b"{}")
    server.loop.advance(0)
    assert wire.take() == b""

    wire.unblock()
    assert wire.frames() == [WebSocketFrame(PONG, True, b"49"), WebSocketFrame(TEXT, True, b"{}")]
    wire.block()
    wire.unblock()
    assert wire.frames() == []


def test_pong(server: Any) -> None:
    """A pong that nobody asked for is ignored."""
    wire, _channel = server.attach()

    wire.feed(client_frame(b"unasked", PONG), client_frame(rpc(1)))

    assert wire.frames() == []
    assert len(server.backend.channels[0].requests) == 1


def test_server_pings(server: Any) -> None:
    """A silent client is pinged, so that no box on the way forgets the connection."""
    wire, _channel = server.attach()

    server.loop.advance(20)
    server.loop.advance(20)

    assert [frame.opcode for frame in wire.frames()] == [PING, PING]


def test_ping_interval(start: Start) -> None:
    """How often is the operator's choice."""
    server = start(ping_interval=5.0)
    wire, _channel = server.attach()

    server.loop.pump([5.0] * 3)

    assert [frame.opcode for frame in wire.frames()] == [PING] * 3


def test_server_does_not_ping_into_a_full_socket(server: Any) -> None:
    """A client that does not read is not pinged: the pings would pile up."""
    wire, _channel = server.attach()
    wire.block()

    for _ in range(10):
        server.loop.advance(20)

    assert wire.frames() == []


def test_dead_client(start: Start) -> None:
    """After `dead_after` of silence a client is looked at twice, then dropped."""
    server = start(dead_after=60.0)
    wire, channel = server.attach()

    for _ in range(3):
        server.loop.advance(20)
    assert wire.connected

    server.loop.advance(20)
    assert not wire.connected
    assert wire.aborted
    assert channel.closed


@pytest.mark.parametrize(
    "sign", [client_frame(b"", PONG), client_frame(rpc(1)), b"\x81"], ids=["pong", "text", "a byte"]
)
def test_sign_of_life(start: Start, sign: bytes) -> None:
    """Any byte is a sign of life, also one that comes after the first look."""
    server = start(dead_after=60.0)
    wire, _channel = server.attach()
    for _ in range(3):
        server.loop.advance(20)

    wire.feed(sign)

    server.loop.advance(20)
    server.loop.advance(20)
    assert wire.connected


def test_who_is_not_read_is_not_silent(start: Start) -> None:
    """A client whose requests wait cannot be heard; afterwards its time begins anew."""
    server = start(dead_after=60.0, max_waiting_requests=4)
    wire, channel = server.attach()
    wire.send(*(rpc(number) for number in range(4)))
    assert not wire.reading
    for _ in range(10):
        server.loop.advance(20)
    assert wire.connected

    channel.settle(4)
    server.loop.advance(0)
    assert wire.reading
    for _ in range(3):
        server.loop.advance(20)
    assert wire.connected
    server.loop.advance(20)
    assert not wire.connected


def test_stall_is_not_death(start: Start) -> None:
    """After a stall of the server everyone seems silent; nobody is dropped for it."""
    server = start(dead_after=60.0)
    wires = [server.attach()[0] for _ in range(3)]

    server.loop.advance(3600)
    for wire in wires:
        wire.feed(client_frame(b"", PONG))
    server.loop.advance(20)

    assert all(wire.connected for wire in wires)


def test_who_neither_reads_nor_can_be_read(start: Start) -> None:
    """A client that is the cause itself is silent, and dropped when it has been for long."""
    server = start(dead_after=60.0, max_waiting_requests=2)
    wire, _channel = server.attach()
    wire.block()
    wire.send(rpc(1), rpc(2), rpc(3))
    assert not wire.reading

    server.loop.pump([20.0] * 5)

    assert wire.aborted


# The end.


@pytest.mark.parametrize("code", [1000, 1001, 1003, 1007, 1011, 3000, 4999])
def test_close_is_echoed(server: Any, code: int) -> None:
    """A client's close is answered with its code and reason; then TCP ends."""
    wire, channel = server.attach()

    wire.feed(close_frame(code, b"bye"))

    assert closing(wire.frames()) == (code, b"bye")
    assert not wire.connected
    assert not wire.aborted
    assert channel.closed


def test_close_without_a_code(server: Any) -> None:
    """A close without a code is answered without one."""
    wire, _channel = server.attach()

    wire.feed(close_frame(None))

    assert closing(wire.frames()) == (None, b"")
    assert not wire.connected


def test_nothing_after_a_close(server: Any) -> None:
    """What follows a close frame in the same segment is void."""
    wire, channel = server.attach()

    wire.feed(client_frame(rpc(1)) + close_frame(1000) + client_frame(rpc(2)))

    assert [request.id for request in channel.requests] == [b"1"]
    assert [frame.opcode for frame in wire.frames()] == [CLOSE]


def test_hang_up(server: Any, log: list[Any]) -> None:
    """A connection that just ends frees the seat."""
    wire, channel = server.attach()

    wire.hang_up()

    assert channel.closed
    assert [event for event in log if event.get("log_format") == "seat {seat} detached"]


def test_stop(server: Any) -> None:
    """A stop tells each client, then closes with 1001, and is over when all have gone."""
    wire, channel = server.attach()
    done = []

    server.stop().addCallback(done.append)
    notice, close = wire.frames()
    assert b"stopping" in notice.payload
    assert (close.close_code, close.payload[2:]) == (1001, b"the server is stopping")
    assert not done

    wire.feed(close_frame(1001))
    assert not wire.connected
    assert channel.closed
    assert done


def test_stop_with_a_silent_client(server: Any) -> None:
    """A client that does not answer the close is dropped when its time is over."""
    wire, _channel = server.attach()
    done = []
    server.stop().addCallback(done.append)

    server.loop.advance(1)
    assert wire.connected
    server.loop.advance(2)
    assert not wire.connected
    assert done


def test_stop_with_a_blocked_client(server: Any) -> None:
    """So is a client whose socket is full."""
    wire, channel = server.attach()
    wire.block()
    channel.say(b"x" * 1000)
    done = []

    server.stop().addCallback(done.append)
    for _ in range(5):
        server.loop.advance(1)

    assert not wire.connected
    assert done


# Violations: each is closed with its code, and nothing of it gets through.


def test_binary(server: Any) -> None:
    """A binary message is closed with 1003 as soon as it begins."""
    wire, channel = server.attach()

    wire.feed(client_frame(rpc(1), BINARY)[:6])

    assert closing(wire.frames()) == (1003, b"only text messages are understood here")
    assert not channel.requests


def test_oversize(start: Start) -> None:
    """A declared length over the limit is closed with 1009 and a reason, before any payload."""
    server = start(max_message=1000)
    wire, _channel = server.attach()

    wire.feed(client_frame(b"", length=1001))

    code, reason = closing(wire.frames())
    assert code == 1009
    assert b"1001" in reason
    assert b"1000" in reason


@pytest.mark.parametrize("length", [2**32, 2**63 - 1])
def test_huge(server: Any, length: int) -> None:
    """Lengths that no memory holds reserve none."""
    wire, _channel = server.attach()

    wire.feed(client_frame(b"", length=length))

    assert closing(wire.frames())[0] == 1009


def test_negative_length(server: Any) -> None:
    """A length with its highest bit set is a violation."""
    wire, _channel = server.attach()

    wire.feed(client_frame(b"", length=2**63))

    assert closing(wire.frames())[0] == 1002


def test_exactly_the_limit(start: Start) -> None:
    """A message of just the limit passes, whole and in fragments."""
    server = start(max_message=1000)
    wire, channel = server.attach()
    text = rpc(1, text="")
    text = rpc(1, text="x" * (1000 - len(text)))
    assert len(text) == 1000

    wire.send(text)
    wire.feed(client_frame(text[:500], fin=False), client_frame(text[500:], CONTINUATION))

    assert [request.text for request in channel.requests] == [text, text]


def test_fragmented_oversize(start: Start) -> None:
    """Fragments that together exceed the limit are closed with 1009 when they do."""
    server = start(max_message=1000)
    wire, channel = server.attach()

    wire.feed(client_frame(b"x" * 600, fin=False))
    assert wire.frames() == []
    wire.feed(client_frame(b"", CONTINUATION, length=401))

    assert closing(wire.frames())[0] == 1009
    assert not channel.requests


@pytest.mark.parametrize("payload", [b"", b"x"], ids=["empty", "small"])
def test_too_many_fragments(start: Start, payload: bytes) -> None:
    """A message of more fragments than allowed is closed with 1008, though they weigh nothing."""
    server = start(max_fragments=100)
    wire, channel = server.attach()

    wire.feed(
        client_frame(payload, fin=False) + client_frame(payload, CONTINUATION, fin=False) * 98
    )
    wire.feed(client_frame(payload, CONTINUATION, fin=False))
    assert wire.frames() == []
    wire.feed(client_frame(payload, CONTINUATION, fin=False))

    assert closing(wire.frames()) == (1008, b"a message has too many fragments")
    assert not channel.requests


def test_fragments_are_counted_per_message(start: Start) -> None:
    """The count begins anew with each message."""
    server = start(max_fragments=3)
    wire, channel = server.attach()
    text = rpc(1)

    for _ in range(5):
        wire.feed(
            client_frame(text[:3], fin=False),
            client_frame(b"", CONTINUATION, fin=False),
            client_frame(text[3:], CONTINUATION),
        )

    assert len(channel.requests) == 5


BAD_UTF8 = [b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"ok\xe2\x82", b"\x80"]


@pytest.mark.parametrize("text", BAD_UTF8)
def test_invalid_utf8(server: Any, text: bytes) -> None:
    """Text that is not UTF-8 is closed with 1007."""
    wire, channel = server.attach()

    wire.send(text)

    assert closing(wire.frames())[0] == 1007
    assert not channel.requests


@pytest.mark.parametrize("text", BAD_UTF8)
def test_invalid_utf8_in_fragments(server: Any, text: bytes) -> None:
    """Also when it only shows over several fragments."""
    wire, channel = server.attach()

    wire.feed(
        client_frame(text[:1], fin=False),
        client_frame(text[1:], CONTINUATION, fin=False),
        client_frame(b"", CONTINUATION),
    )

    assert closing(wire.frames())[0] == 1007
    assert not channel.requests


def test_character_over_fragments(server: Any) -> None:
    """A character may be split between fragments."""
    wire, channel = server.attach()
    text = '{"id":1,"method":"é"}'.encode()
    middle = text.index(b"\xc3") + 1

    wire.feed(client_frame(text[:middle], fin=False), client_frame(text[middle:], CONTINUATION))

    assert [request.method for request in channel.requests] == ["é"]


VIOLATIONS = {
    "unmasked": client_frame(b"{}", mask=None),
    "unmasked ping": client_frame(b"", PING, mask=None),
    **{f"rsv {bits}": client_frame(b"{}", rsv=bits) for bits in (1, 2, 4, 7)},
    **{f"opcode {code}": client_frame(b"{}", code) for code in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented ping": client_frame(b"", PING, fin=False),
    "fragmented close": client_frame(CLOSE_NORMAL, CLOSE, fin=False),
    "large ping": client_frame(b"x" * 126, PING),
    "large pong": client_frame(b"x" * 126, PONG),
    "large close": client_frame(CLOSE_NORMAL + b"x" * 124, CLOSE),
    "huge ping": client_frame(b"", PING, length=70_000),
    "close with one byte": client_frame(b"\x03", CLOSE),
    "continuation of nothing": client_frame(b"{}", CONTINUATION),
    "text inside a message": client_frame(b"{", fin=False) + client_frame(b"}"),
    "longer form than needed": client_frame(b"{}", size=2),
    "longest form for 126": client_frame(b"x" * 126, size=8),
    "longest form for 2": client_frame(b"{}", size=8),
}


@pytest.mark.parametrize("data", VIOLATIONS.values(), ids=VIOLATIONS)
@pytest.mark.parametrize("size", [1, 1000], ids=["bytewise", "whole"])
def test_violations(server: Any, data: bytes, size: int) -> None:
    """What RFC 6455 forbids is closed with 1002, once, and what follows is void."""
    wire, channel = server.attach()

    wire.feed(*cut(data + client_frame(rpc(1)) + client_frame(b"", PING), size))

    assert closing(wire.frames())[0] == 1002
    assert not channel.requests


@pytest.mark.parametrize(
    "data", [VIOLATIONS["unmasked"], VIOLATIONS["rsv 1"], client_frame(b"\xff")]
)
def test_parsed_no_further(server: Any, data: bytes) -> None:
    """What stands behind a violation is not parsed: the client keeps its time to read why."""
    wire, _channel = server.attach()

    wire.feed(data * 2)

    assert [frame.opcode for frame in wire.frames()] == [CLOSE]
    assert wire.connected


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_bad_close_codes(server: Any, code: int) -> None:
    """A close code that may not be sent is closed with 1002."""
    wire, _channel = server.attach()

    wire.feed(close_frame(code))

    assert closing(wire.frames())[0] == 1002


def test_bad_close_reason(server: Any) -> None:
    """A close reason that is not UTF-8 is closed with 1007."""
    wire, _channel = server.attach()

    wire.feed(close_frame(1000, b"\xff"))

    assert closing(wire.frames())[0] == 1007


@pytest.mark.parametrize("data", [VIOLATIONS["unmasked"], client_frame(b"\xff")])
def test_failed_connection_ends(server: Any, data: bytes) -> None:
    """A client that is closed and goes on anyway is dropped when its time is over."""
    wire, channel = server.attach()
    wire.feed(data)

    for _ in range(3):
        wire.feed(client_frame(rpc(1)))
        server.loop.advance(1)

    assert not wire.connected
    assert channel.closed
    assert not channel.requests


def test_failed_connection_is_bounded(server: Any) -> None:
    """What comes after a violation is not kept."""
    wire, _channel = server.attach()
    wire.feed(VIOLATIONS["unmasked"])

    wire.feed(*[b"x" * 10_000] * 20)

    assert len(wire.protocol.data) < 10_000


def test_payloads_are_not_logged(server: Any, log: list[Any]) -> None:
    """What a client sends does not get into the log, not even when it is wrong."""
    for data in (
        client_frame(b"my secret \xff"),
        client_frame(b"my secret", BINARY),
        client_frame(b"my secret", mask=None),
        close_frame(4000, b"my secret"),
        client_frame(b'{"id": "my secret", "method": 5}'),
    ):
        wire, _channel = server.attach()
        wire.feed(data)

    assert log
    assert "my secret" not in repr(log)


# Two ways in, one meaning: `split_texts` for everyday messages, Autobahn for the rest.


def both_ways(start: Start, chunks: list[bytes], **limits: Any) -> list[Any]:
    """What becomes of *chunks* by the short way and without it."""
    outcomes = []
    for short in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            if not short:
                patch.setattr(link, "split_texts", lambda data, limit: ([], data))
            server = start(max_waiting_requests=10**6, max_waiting_bytes=10**9, **limits)
            wire, channel = server.attach()
            wire.feed(*chunks)
            frames = wire.frames()
            outcomes.append(([request.text for request in channel.requests], frames))
            server.end()
    return outcomes


def frames_of(text: bytes, cuts: list[int], pings: bool, masks: list[bytes]) -> bytes:
    """*text* as one message in fragments, cut where *cuts* say."""
    edges = sorted({0, len(text), *(edge % (len(text) + 1) for edge in cuts)})
    pieces = [text[a:b] for a, b in itertools.pairwise(edges)] or [b""]
    data = b""
    for number, piece in enumerate(pieces):
        data += client_frame(
            piece,
            TEXT if number == 0 else CONTINUATION,
            fin=number == len(pieces) - 1,
            mask=masks[number % len(masks)],
        )
        if pings:
            data += client_frame(b"%d" % number, PING)
    return data


sizes = st.one_of(
    st.integers(0, 200),
    st.sampled_from([125, 126, 127, 65535, 65536]),
    st.integers(0, 70_000),
)
masks = st.lists(st.binary(min_size=4, max_size=4), min_size=1, max_size=3)
messages = st.lists(
    st.tuples(
        sizes,
        st.sampled_from(["x", "ü", "\U0001f600", '"', "{}"]),
        st.lists(st.integers(0, 70_000), max_size=3),
        st.booleans(),
        masks,
    ),
    max_size=6,
)
chunkings = st.lists(st.integers(1, 40_000), min_size=1, max_size=6)


def chunked(data: bytes, chunks: list[int]) -> list[bytes]:
    """*data* in pieces of these sizes, again and again."""
    pieces, start, turn = [], 0, 0
    while start < len(data):
        # Small pieces of much data would take for ever and tell nothing new.
        size = max(chunks[turn % len(chunks)], len(data) // 200)
        pieces.append(data[start : start + size])
        start, turn = start + size, turn + 1
    return pieces


def of_size(size: int, letter: str, number: int) -> bytes:
    """A request of about *size* bytes; nothing at all for 0."""
    if not size:
        return b""
    text = json.dumps(
        {"id": number, "method": "echo", "p": letter * (size // len(letter.encode()))},
        ensure_ascii=False,
    )
    return text.encode()


@settings(max_examples=60)
@given(messages=messages, chunks=chunkings)
def test_both_ways_deliver(
    start: Start, messages: list[tuple[int, str, list[int], bool, list[bytes]]], chunks: list[int]
) -> None:
    """Valid messages arrive the same whichever way they take: whole, once and in order."""
    texts, data = [], b""
    for number, (size, letter, cuts, pings, masks) in enumerate(messages):
        texts.append(of_size(size, letter, number))
        data += frames_of(texts[-1], cuts, pings, masks)

    short, long = both_ways(start, chunked(data, chunks))

    assert short == long
    assert short[0] == [text for text in texts if text]
    assert all(frame.opcode == PONG for frame in short[1])


@settings(max_examples=150)
@given(
    messages=messages.filter(bool),
    chunks=chunkings,
    damage=st.lists(
        st.tuples(st.integers(0, 500_000), st.integers(1, 255)), min_size=1, max_size=4
    ),
    cut_at=st.integers(0, 500_000),
)
def test_both_ways_refuse(
    start: Start,
    messages: list[tuple[int, str, list[int], bool, list[bytes]]],
    chunks: list[int],
    damage: list[tuple[int, int]],
    cut_at: int,
) -> None:
    """Damaged bytes have the same effect whichever way they take."""
    data = bytearray()
    for number, (size, letter, cuts, pings, masks) in enumerate(messages):
        data += frames_of(of_size(size % 300, letter, number), cuts, pings, masks)
    for where, change in damage:
        data[where % len(data)] ^= change
    cut_at %= len(data)
    damaged = bytes(data[:cut_at] + data[cut_at + 1 :]) if change % 2 else bytes(data)

    short, long = both_ways(start, chunked(damaged, chunks), max_message=250)

    assert short == long


@settings(max_examples=150)
@given(data=st.binary(max_size=300), chunks=chunkings)
def test_both_ways_take_anything(start: Start, data: bytes, chunks: list[int]) -> None:
    """Any bytes have the same effect whichever way they take."""
    short, long = both_ways(start, chunked(b"\x81" + data, chunks))

    assert short == long


def test_masks_are_undone() -> None:
    """The test's own mask is its own inverse."""
    payload = bytes(range(256)) + b"odd"

    assert apply_mask(apply_mask(payload, b"\x01\x02\x03\xff"), b"\x01\x02\x03\xff") == payload
    assert list(read_frames(b"\x81\x02{}")) == [WebSocketFrame(TEXT, True, b"{}")]


def test_wire_needs_whole_frames(server: Any) -> None:
    """The test's own reader takes nothing for a frame that is none."""
    wire: MemoryWire = server.wire()

    for data in (b"\x81\x03{}", b"\xc1\x00", b"\x81\x80"):
        with pytest.raises(ValueError, match=r"whole|bits"):
            list(read_frames(data))
    wire.hang_up()
