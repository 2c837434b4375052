from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from typing import Any

import pytest

from hermes_twisted import rpc
from hermes_twisted.access.keys import Key, Scope
from hermes_twisted.limits import Limits
from hermes_twisted.seats.attachment import Attachment
from hermes_twisted.seats.queues import make_outbox, make_settlements
from hermes_twisted.seats.seat import BATCH, CLOSE_POLICY, Seat
from hermes_twisted.shared.outbox import ANSWER, Outbox
from hermes_twisted.testing import Tally

LAPTOP = Key.of("laptop", "hat_0123456789abcdef")

LIMITS = Limits(
    max_waiting_requests=8,
    max_waiting_bytes=10_000,
    max_unread=100,
    max_queued_soft=10_000,
    max_queued_hard=20_000,
)


class FakeLink:
    """A WebSocket that takes frames while *writable*, and notes what it is told."""

    def __init__(self) -> None:
        self.writable = True
        self.writes: list[list[bytes]] = []
        self.told: list[Any] = []
        self.full_after: int | None = None
        self.may_have_unread = False

    def send(self, payloads: list[bytes]) -> None:
        assert self.writable
        self.writes.append(payloads)
        if self.full_after is not None and len(self.writes) >= self.full_after:
            self.writable = False

    @property
    def sent(self) -> list[bytes]:
        return [payload for write in self.writes for payload in write]

    def pause_reading(self) -> None:
        self.told.append("pause")

    def resume_reading(self) -> None:
        self.told.append("resume")

    def close(self, code: int, reason: str) -> None:
        self.told.append((code, reason))

    def abort(self) -> None:
        self.told.append("abort")

    def ping(self) -> None:
        self.told.append("ping")


def attachment(link: FakeLink) -> Attachment:
    return Attachment(link, peer="127.0.0.1:9", source="127.0.0.1", now=0.0)


class FakeChannel:
    """A line to a backend that answers nothing by itself."""

    def __init__(self, wake: Callable[[], None], limits: Limits = LIMITS) -> None:
        self.outbox = make_outbox(limits, wake)
        self.settlements = make_settlements(limits, wake)
        self.submitted: list[rpc.Frame] = []
        self.acknowledged: list[int] = []
        self.closed = 0

    def submit(self, frame: rpc.Frame) -> None:
        self.submitted.append(frame)

    def delivered(self, size: int) -> None:
        self.acknowledged.append(size)

    def close(self) -> None:
        self.closed += 1
        self.outbox.close()


class Table:
    """A seat between a fake link and a fake channel."""

    def __init__(
        self,
        limits: Limits = LIMITS,
        open_channel: Callable[[Callable[[], None]], FakeChannel] | None = None,
        scope: Scope = Scope.FULL,
    ) -> None:
        self.link = FakeLink()
        self.channels: list[FakeChannel] = []

        def remember(wake: Callable[[], None]) -> FakeChannel:
            self.channels.append((open_channel or FakeChannel)(wake))
            return self.channels[-1]

        self.meter = Tally()
        key = dataclasses.replace(LAPTOP, scope=scope)
        self.seat = Seat(1, key, limits, remember, meter=self.meter)
        self.attachment = attachment(self.link)
        self.seat.attach(self.attachment)

    @property
    def channel(self) -> FakeChannel:
        return self.channels[0]

    @property
    def outbox(self) -> Outbox:
        return self.channels[0].outbox

    def make_slow(self, size: int = 1000) -> None:
        """Let the link be full, and *size* bytes wait for it."""
        self.link.writable = False
        self.outbox.put(b"#" * size)

    def drain(self) -> None:
        """The link has room again."""
        self.link.writable = True
        self.seat.flush()

    @property
    def methods(self) -> list[str]:
        return [frame.method for frame in self.channel.submitted]


def request(method: str, identity: Any = 1, size: int = 0) -> bytes:
    params = {"text": "x" * size}
    return json.dumps({"id": identity, "method": method, "params": params}).encode()


@pytest.fixture
def table() -> Table:
    return Table()


def test_who_sits_there(table: Table) -> None:
    """A seat knows its number, the key it was admitted with, and its peer."""
    assert (table.seat.number, table.seat.key, table.seat.peer) == (1, LAPTOP, "127.0.0.1:9")


def test_request_goes_on_as_it_came(table: Table) -> None:
    """A request is handed to the backend with its very text."""
    text = b' {"id": 1, "method":"prompt.submit"} '

    table.seat.received(text)

    assert table.channel.submitted == [rpc.Frame(text, b"1", "prompt.submit")]
    assert table.link.sent == []


@pytest.mark.parametrize("text", [b"", b" ", b"\r\n\t "])
def test_blank_messages_are_ignored(table: Table, text: bytes) -> None:
    """A blank message is no request, and no mistake."""
    table.seat.received(text)

    assert table.channel.submitted == []
    assert table.link.sent == []


def test_bad_frame_is_answered(table: Table) -> None:
    """What is wrong with a message is answered, and never reaches the backend."""
    table.seat.received(b"{")

    [answer] = table.link.sent
    assert json.loads(answer)["error"]["code"] == -32700
    assert table.channel.submitted == []


def test_ping_is_answered_here(table: Table) -> None:
    """A ping is answered at once, with its id, whatever Hermes does."""
    table.seat.received(request("gateway.ping", "p1"))

    assert table.link.sent == [b'{"jsonrpc":"2.0","id":"p1","result":{"ok":true}}']
    assert table.channel.submitted == []


def test_frames_go_out_as_they_are(table: Table) -> None:
    """Frames of the backend reach the link unchanged, in order, and are acknowledged."""
    table.outbox.put(b"one")
    table.outbox.put(b"three", ANSWER, 5)

    assert table.link.sent == [b"one", b"three"]
    assert table.channel.acknowledged == [3, 5]


def test_frames_gather_into_one_write(table: Table) -> None:
    """What waits goes out in one write when the link has room again."""
    table.link.writable = False
    for text in (b"a", b"b", b"c"):
        table.outbox.put(text)
    assert table.link.writes == []

    table.drain()

    assert table.link.writes == [[b"a", b"b", b"c"]]
    assert table.channel.acknowledged == [3]


def test_writes_are_bounded() -> None:
    """A long queue goes out in several writes, and stops when the link is full."""
    table = Table(open_channel=lambda wake: FakeChannel(wake, Limits()))
    table.link.writable = False
    for _ in range(5):
        table.outbox.put(b"x" * BATCH)
    table.link.full_after = 2

    table.drain()

    assert [sum(map(len, write)) for write in table.link.writes] == [BATCH, BATCH]
    assert table.outbox.size == 3 * BATCH


def test_channel_may_speak_while_it_opens() -> None:
    """Frames that come while the channel opens are sent when it is there."""

    def open_channel(wake: Callable[[], None]) -> FakeChannel:
        channel = FakeChannel(wake)
        channel.outbox.put(b"hello")
        return channel

    assert Table(open_channel=open_channel).link.sent == [b"hello"]


def test_tell(table: Table) -> None:
    """A notice is shown as a frame that every client prints."""
    table.seat.notify("The agent restarts.")

    assert table.link.sent == [rpc.notice("The agent restarts.")]


def test_ordinary_requests_wait_for_a_slow_reader(table: Table) -> None:
    """While a client does not read its answers, its ordinary requests make no more of them."""
    table.make_slow()

    table.seat.received(request("a"))
    table.seat.received(request("b"))
    assert table.methods == []
    table.drain()

    assert table.methods == ["a", "b"]


def test_a_little_to_read_defers_nothing(table: Table) -> None:
    """Up to the threshold requests go on, though the link is full for the moment."""
    table.make_slow(LIMITS.max_unread)

    table.seat.received(request("a"))

    assert table.methods == ["a"]


def test_much_to_read_but_a_free_link_defers_nothing(table: Table) -> None:
    """Who reads is not slow, however much is on its way."""
    table.outbox.put(b"#" * 5000)

    table.seat.received(request("a"))

    assert table.methods == ["a"]


def test_urgent_requests_overtake(table: Table) -> None:
    """An interrupt or an approval of a slow reader goes on at once."""
    table.make_slow()
    table.seat.received(request("a"))

    table.seat.received(request("session.interrupt"))
    table.seat.received(b'{"id":"q","result":{}}')

    assert table.methods == ["session.interrupt", ""]


def test_own_answers_wait_for_a_slow_reader(table: Table) -> None:
    """Pings and bad frames of a slow reader make no answers that pile up."""
    table.make_slow()
    size = table.outbox.size

    table.seat.received(request("gateway.ping", 1))
    table.seat.received(b"{")

    assert table.outbox.size == size
    table.drain()
    answers = [json.loads(text) for text in table.link.sent[1:]]
    assert [answer.get("id") for answer in answers] == [1, None]


def test_deferred_messages_keep_their_order(table: Table) -> None:
    """What came after a deferred message waits behind it, even when the reader has caught up."""
    table.make_slow()
    table.seat.received(request("a"))
    table.seat.received(request("gateway.ping", 2))
    # The link stays full, but the client has now less to read than the threshold.
    table.outbox.take(1)

    table.seat.received(request("b"))
    assert table.methods == []
    table.drain()

    assert table.methods == ["a", "b"]
    assert len(table.link.sent) == 1


def test_release_stops_when_the_reader_is_slow_again(table: Table) -> None:
    """Deferred answers fill a full link up to the threshold only."""
    table.make_slow()
    for number in range(7):
        table.seat.received(request("gateway.ping", number))
    table.link.full_after = 1

    table.drain()

    # One write of what waited, then answers of 42 bytes until there are more than 100.
    assert len(table.link.writes) == 1
    assert LIMITS.max_unread < table.outbox.size <= LIMITS.max_unread + 50
    table.link.full_after = None
    table.drain()
    assert len(table.link.sent) == 1 + 7


def test_too_many_waiting_requests_pause_the_socket(table: Table) -> None:
    """With as many requests waiting as allowed, the client's socket is not read."""
    for number in range(LIMITS.max_waiting_requests):
        assert table.link.told == []
        table.seat.received(request("a", number))

    assert table.link.told == ["pause"]
    table.seat.received(request("session.interrupt"))
    assert table.link.told == ["pause"]


def test_too_many_waiting_bytes_pause_the_socket(table: Table) -> None:
    """Requests are counted in bytes, too."""
    table.seat.received(request("a", size=LIMITS.max_waiting_bytes // 2))
    assert table.link.told == []

    table.seat.received(request("a", size=LIMITS.max_waiting_bytes // 2))

    assert table.link.told == ["pause"]


def test_deferred_requests_pause_the_socket(table: Table) -> None:
    """Requests that wait for a slow reader count like those that wait for Hermes."""
    table.make_slow()
    for number in range(LIMITS.max_waiting_requests):
        table.seat.received(request("a", number))

    assert table.methods == []
    assert table.link.told == ["pause"]


def test_deferred_answers_pause_the_socket(table: Table) -> None:
    """A client that pings and never reads is not read for ever."""
    table.make_slow()
    for number in range(LIMITS.max_waiting_requests):
        table.seat.received(request("gateway.ping", number))

    assert table.link.told == ["pause"]


def test_reading_goes_on_below_half(table: Table) -> None:
    """The socket is read again when less than half of the limit waits, not before."""
    for number in range(LIMITS.max_waiting_requests):
        table.seat.received(request("a", number))
    size = len(table.channel.submitted[0].text)

    for _ in range(LIMITS.max_waiting_requests // 2):
        table.channel.settlements.settle(size)
    assert table.link.told == ["pause"]
    table.channel.settlements.settle(size)

    assert table.link.told == ["pause", "resume"]


def test_reading_goes_on_when_bytes_are_settled(table: Table) -> None:
    """A pause for bytes ends with the bytes."""
    table.seat.received(request("a", size=LIMITS.max_waiting_bytes))
    assert table.link.told == ["pause"]

    table.channel.settlements.settle(len(table.channel.submitted[0].text))

    assert table.link.told == ["pause", "resume"]


def test_deferred_bytes_pause_the_socket(table: Table) -> None:
    """Requests that wait for a slow reader are counted in bytes, too."""
    table.make_slow()
    table.seat.received(request("a", size=LIMITS.max_waiting_bytes // 2))
    assert table.link.told == []

    table.seat.received(request("a", size=LIMITS.max_waiting_bytes // 2))

    assert table.link.told == ["pause"]


@pytest.mark.parametrize("method", ["a", "gateway.ping"])
def test_released_bytes_count_no_more(method: str) -> None:
    """What was deferred and is done with does not count, however often that happens."""
    table = Table(Limits(max_waiting_bytes=200, max_unread=100))
    for _ in range(20):
        table.make_slow()
        table.seat.received(request(method))
        table.drain()
        for frame in table.channel.submitted:
            table.channel.settlements.settle(len(frame.text))
        table.channel.submitted.clear()
        table.seat.flush()

    assert table.link.told == []


def test_pauses_again(table: Table) -> None:
    """A client that sends too much again is paused again."""
    for _ in range(2):
        table.seat.received(request("a", size=LIMITS.max_waiting_bytes))
        table.channel.settlements.settle(len(table.channel.submitted[-1].text))

    assert table.link.told == ["pause", "resume"] * 2


def test_own_words_need_no_wake_up() -> None:
    """What we say ourselves goes out at once, though the backend's wake-ups come later."""
    table = Table(open_channel=lambda wake: FakeChannel(lambda: None))

    table.seat.notify("hello")
    assert len(table.link.sent) == 1
    table.seat.received(request("gateway.ping"))

    assert len(table.link.sent) == 2


def test_pause_ends_with_the_deferred(table: Table) -> None:
    """Deferred pings that made the socket pause let it go on once they are answered."""
    table.make_slow()
    for number in range(LIMITS.max_waiting_requests):
        table.seat.received(request("gateway.ping", number))

    table.drain()

    assert len(table.link.sent) == 1 + LIMITS.max_waiting_requests
    assert table.link.told == ["pause", "resume"]


def test_overflow_aborts(table: Table) -> None:
    """A client that reads nothing up to the hard limit is dropped."""
    table.link.writable = False
    table.outbox.put(b"x" * (LIMITS.max_queued_hard + 1))
    assert table.link.told == []

    table.outbox.put(b"y")

    assert table.link.told == ["abort"]


def test_end_asks_the_client(table: Table) -> None:
    """An end that is ours is a close frame: 1001, with the reason."""
    table.seat.end("the server stops")

    assert table.link.told == [(1001, "the server stops")]


def test_end_with_another_code(table: Table) -> None:
    """An end for another reason has the code of that."""
    table.seat.end("the key was revoked", CLOSE_POLICY)

    assert table.link.told == [(1008, "the key was revoked")]


def test_requests_after_the_end_are_void(table: Table) -> None:
    """From our close frame on nothing of the client runs: neither what comes nor what waited."""
    table.make_slow()
    table.seat.received(request("held"))
    assert not table.seat.ending

    table.seat.end("the key was revoked")
    table.seat.received(request("late"))
    table.seat.received(b"{")
    table.seat.received(request("session.interrupt"))
    table.drain()

    assert table.seat.ending
    assert table.methods == []
    assert len(table.link.sent) == 1


def test_close_closes_the_channel_once(table: Table) -> None:
    """When the client has gone for good the backend hears of it, once."""
    table.seat.close()
    table.seat.close()

    assert table.channel.closed == 1


def test_nothing_is_sent_after_the_end(table: Table) -> None:
    """A link that is lost is left alone."""
    table.make_slow()
    table.seat.detach(table.attachment)
    table.seat.close()
    table.link.writable = True

    table.seat.flush()
    table.seat.notify("x")
    table.seat.end("x")

    assert table.link.sent == []
    assert table.link.told == []


def test_deferred_requests_die_with_the_seat(table: Table) -> None:
    """Requests that had not gone on yet are not run for a client that is gone."""
    table.make_slow()
    table.seat.received(request("a"))

    table.seat.close()
    table.drain()

    assert table.methods == []


class EagerChannel(FakeChannel):
    """A backend that answers on the spot, as a recording does."""

    def submit(self, frame: rpc.Frame) -> None:
        super().submit(frame)
        self.settlements.settle(len(frame.text))
        self.outbox.put(rpc.result(frame.id, {}))


def test_answers_on_the_spot() -> None:
    """A backend may answer while it is handed the request."""
    table = Table(open_channel=EagerChannel)

    table.seat.received(request("a", 1))

    assert table.link.sent == [b'{"jsonrpc":"2.0","id":1,"result":{}}']


def test_answers_on_the_spot_to_deferred_requests() -> None:
    """Answers that are given while deferred requests are released go out, too."""
    table = Table(open_channel=EagerChannel)
    table.make_slow()
    table.seat.received(request("a", 1))

    table.drain()

    assert table.link.sent[1:] == [b'{"jsonrpc":"2.0","id":1,"result":{}}']


class GreedyLink(FakeLink):
    """A link whose write makes something else flush the seat."""

    flush: Callable[[], None] = staticmethod(lambda: None)

    def send(self, payloads: list[bytes]) -> None:
        super().send(payloads)
        self.flush()


def test_flush_does_not_nest() -> None:
    """A flush during a flush changes nothing: frames go out once, in order."""
    link = GreedyLink()
    channels: list[FakeChannel] = []

    def open_channel(wake: Callable[[], None]) -> FakeChannel:
        channels.append(FakeChannel(wake, Limits()))
        return channels[0]

    seat = Seat(1, LAPTOP, Limits(), open_channel)
    seat.attach(attachment(link))
    link.flush = seat.flush
    link.writable = False
    sent = [b"%d" % number + b"x" * BATCH for number in range(4)]
    for text in sent:
        channels[0].outbox.put(text)

    link.writable = True
    seat.flush()

    assert link.sent == sent


class TestWithoutALink:
    """Between two links a seat keeps what its client owns."""

    def test_frames_wait_for_the_next_link(self, table: Table) -> None:
        """They go out on it in order, once, behind those that had gone."""
        table.outbox.put(b"before")
        table.seat.detach(table.attachment)
        table.outbox.put(b"one")
        table.seat.notify("two")
        assert table.link.sent == [b"before"]

        other = FakeLink()
        table.seat.attach(attachment(other))

        assert table.link.sent == [b"before"]
        assert other.sent == [b"one", rpc.notice("two")]
        assert table.seat.position == 3

    def test_deferred_requests_wait_for_the_next_link(self, table: Table) -> None:
        """What a slow reader had asked runs once it reads on another link."""
        table.make_slow()
        table.seat.received(request("a"))
        table.seat.detach(table.attachment)
        table.channel.settlements.settle(0)
        assert table.methods == []

        table.seat.attach(attachment(FakeLink()))

        assert table.methods == ["a"]

    def test_requests_that_run_are_still_counted(self, table: Table) -> None:
        """A full window pauses the next link as well, until requests are settled."""
        for number in range(LIMITS.max_waiting_requests):
            table.seat.received(request("a", number))
        table.seat.detach(table.attachment)

        other = FakeLink()
        table.seat.attach(attachment(other))
        assert other.told == ["pause"]
        for frame in table.channel.submitted:
            table.channel.settlements.settle(len(frame.text))

        assert other.told == ["pause", "resume"]
        assert table.seat.waiting == 0

    def test_an_overflow_aborts_the_next_link(self, table: Table) -> None:
        """What was lost while nobody read cannot be made up for on another link."""
        table.seat.detach(table.attachment)
        table.outbox.overflow()

        other = FakeLink()
        table.seat.attach(attachment(other))

        assert other.told == ["abort"]

    def test_one_link_at_a_time(self, table: Table) -> None:
        """A second link is refused while the first is there, and any once the seat is closed."""
        with pytest.raises(ValueError, match="cannot take a link"):
            table.seat.attach(attachment(FakeLink()))
        table.seat.close()
        with pytest.raises(ValueError, match="cannot take a link"):
            table.seat.attach(attachment(FakeLink()))

    def test_a_late_end_of_an_older_link_changes_nothing(self, table: Table) -> None:
        """The end of a link that is no longer current leaves the current one attached."""
        old = table.attachment
        table.seat.detach(old)
        new = attachment(FakeLink())
        table.seat.attach(new)

        table.seat.detach(old)

        assert table.seat.attachment is new


def test_what_the_scope_denies_goes_nowhere() -> None:
    """A request that the key's scope does not allow is answered, counted, and not passed on."""
    table = Table(scope=Scope.CHAT)

    table.seat.received(request("shell.exec", "r1"))
    table.seat.received(request("session.list", "r2"))

    (answer,) = map(json.loads, table.link.sent)
    assert (answer["id"], answer["error"]["code"]) == ("r1", rpc.SCOPE_DENIED)
    assert table.methods == ["session.list"]
    assert table.meter.counts == {("denied", "chat"): 1}


def test_denied_answers_do_not_pile_up() -> None:
    """A client that reads nothing is not answered without end: its socket is not read."""
    table = Table(scope=Scope.WATCH)
    table.make_slow()

    for number in range(LIMITS.max_waiting_requests):
        table.seat.received(request("approval.respond", number))

    assert table.link.told == ["pause"]
    assert table.link.sent == []
    count = LIMITS.max_waiting_requests
    assert table.meter.counts == {("denied", "watch"): count, ("limit", "unread"): count}
    table.drain()
    answers = [json.loads(text)["id"] for text in table.link.sent[1:]]
    assert answers == list(range(LIMITS.max_waiting_requests))
    assert table.methods == []


def test_every_scope_may_ping() -> None:
    """The heartbeat is answered whatever the scope."""
    table = Table(scope=Scope.WATCH)

    table.seat.received(b'{"id":1,"method":"gateway.ping"}')

    assert table.link.sent == [b'{"jsonrpc":"2.0","id":1,"result":{"ok":true}}']


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"{", "not_json"),
        (b"[1]", "not_a_request"),
        (b'{"id":1}', "not_a_request"),
        (b"{" + b'"a":{' * 600 + b"}" * 601, "nesting"),
        (b'{"id":1,"method":"m","params":' + b"[" * 200 + b"]" * 200 + b"}", "nesting"),
    ],
)
def test_bad_frames_are_counted(table: Table, text: bytes, why: str) -> None:
    """What is wrong with a message is counted by its kind."""
    table.seat.received(text)

    assert table.meter.counts == {("bad_frame", why): 1}


def test_nesting_has_the_limits_of_the_seat() -> None:
    """The depth and the number of containers that are allowed are the operator's."""
    table = Table(Limits(max_depth=10, max_containers=20))

    table.seat.received(b'{"id":1,"method":"m","params":' + b"[" * 9 + b"]" * 9 + b"}")
    table.seat.received(b'{"id":2,"method":"m","params":' + b"[" * 10 + b"]" * 10 + b"}")
    table.seat.received(b'{"id":3,"method":"m","params":[' + b"[]," * 19 + b"[]]}")

    assert [frame.id for frame in table.channel.submitted] == [b"1"]
    assert table.meter.of("bad_frame", "nesting") == 2


def test_an_overflow_is_counted_once(table: Table) -> None:
    """However often the seat is flushed before its link is gone."""
    table.outbox.overflow()
    table.seat.flush()
    table.seat.flush()

    assert table.meter.counts == {("limit", "hard"): 1}
