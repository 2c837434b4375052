"""`python -m bench.steps`: what each step of a request and of an event costs by itself.

One thread, no sockets, so neither system calls nor switches between threads are in these
numbers: what is missing between their sum and a round trip is theirs.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any, Final

from hermes_twisted import rpc
from hermes_twisted.access.keys import Key
from hermes_twisted.hermes.codec import decode, encode
from hermes_twisted.hermes.host import Host
from hermes_twisted.limits import Limits
from hermes_twisted.operate.metrics import Metrics
from hermes_twisted.seats.calls import Calls
from hermes_twisted.seats.seat import Seat
from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.outbox import ANSWER, DELTA, Outbox
from hermes_twisted.shared.packets import HEADER, Op, Unpacker, pack
from hermes_twisted.websocket.frames import split_texts, text_frames

from .masking import masked
from .starters import STUB
from .tables import table

#: The best of so many rounds of so many runs: what disturbs makes things slower, never quicker.
ROUNDS: Final = 7
RUNS: Final = 20_000
#: As many frames in one read, or one batch.
LOT: Final = 16
ALL: Final = 1 << 40

REQUEST: Final = (
    b'{"jsonrpc":"2.0","id":1234,"method":"echo",'
    b'"params":{"text":"what is in this directory?","cols":80}}'
)
ANSWERED: Final = {"jsonrpc": "2.0", "id": 1234, "result": {"text": "x" * 26, "cols": 80}}
EVENT: Final = {
    "jsonrpc": "2.0",
    "method": "event",
    "params": {
        "type": "message.delta",
        "session_id": "abcd1234",
        "payload": {"text": "word ", "n": 12345, "t": 123456.789},
    },
}


def cost(run: Callable[[], object], per: int = 1, after: Callable[[], object] = bool) -> float:
    """Microseconds of one of the *per* things that *run* does; *after* each round is not timed."""
    best = float("inf")
    runs = RUNS // per
    for _ in range(ROUNDS):
        began = time.perf_counter()
        for _ in range(runs):
            run()
        best = min(best, time.perf_counter() - began)
        after()
    return best / runs / per * 1e6


class Link:
    """A WebSocket that makes its frames, and sends them nowhere."""

    writable = True

    def send(self, payloads: list[bytes]) -> None:
        """See `core.seats.Link`."""
        b"".join(text_frames(payloads))

    def pause_reading(self) -> None:
        """See `core.seats.Link`."""

    def resume_reading(self) -> None:
        """See `core.seats.Link`."""

    def close(self, code: int, reason: str) -> None:
        """See `core.seats.Link`."""

    def abort(self) -> None:
        """See `core.seats.Link`."""


class Channel:
    """A backend that swallows requests, and says that it has begun to run each."""

    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox

    def submit(self, frame: rpc.Frame) -> None:
        """See `core.seats.Channel`."""

    def delivered(self, size: int) -> None:
        """See `core.seats.Channel`."""

    def close(self) -> None:
        """See `core.seats.Channel`."""


def front_steps() -> list[tuple[str, float]]:
    """What the event loop does for one request, and for one frame to the client."""
    metrics = Metrics()
    calls = Calls(metrics, time.monotonic)
    outbox = Outbox(lambda: None, answered=calls.end, settle_count=1, settle_bytes=1)
    channel = Channel(outbox)
    limits = Limits(max_waiting_requests=1 << 40, max_waiting_bytes=1 << 50)
    seat = Seat(1, Link(), limits, lambda wake: channel, key=Key("bench", b""), meter=metrics)
    read = b"".join(masked(REQUEST) for _ in range(LOT))
    answer = encode(ANSWERED)
    batch = b"".join(pack(Op.ANSWER, 1, 0, answer) for _ in range(LOT))
    unpacker = Unpacker()

    def account() -> None:
        calls.begin(1, "echo", b"1234")
        calls.end(1, answer)

    def deliver() -> None:
        for _ in range(LOT):
            outbox.put(answer, ANSWER)
        seat.flush()

    return [
        (
            f"take a frame out of a read of {LOT}: unmask, check",
            cost(lambda: split_texts(read, 1 << 24), LOT),
        ),
        ("take a request apart, judge it, count it", cost(lambda: seat.received(REQUEST))),
        ("pack it for the worker", cost(lambda: pack(Op.REQUEST, 1, 7, REQUEST))),
        (f"take a packet out of a read of {LOT}", cost(lambda: list(unpacker.feed(batch)), LOT)),
        ("time the request, from begin to end", cost(account)),
        (f"queue a frame and flush, {LOT} at once", cost(deliver, LOT)),
    ]


def host_steps() -> list[tuple[str, float]]:
    """What the threads beside Hermes do for one request, and for one event."""
    host = Host.load(lanes := LanePool())
    outbox = Outbox(lambda: None)
    seat = host.open(outbox)
    if not lanes.wait_quiet(10):
        raise RuntimeError("the stub did not greet")

    def empty() -> None:
        outbox.take(ALL)
        outbox.take_settled()

    request = decode(REQUEST)

    def run() -> None:
        seat.requests.run(1, decode(REQUEST), len(REQUEST), urgent=False)

    def collect() -> None:
        for _ in range(LOT):
            outbox.put(REQUEST, DELTA)
        chunks: list[bytes] = []
        for _kind, tag, text in outbox.take(ALL):
            chunks += (HEADER.pack(Op.EVENT, 1, tag, len(text)), text)
        b"".join(chunks)

    return [
        ("run a request, all of it", cost(run, after=empty)),
        ("- of which decode", cost(lambda: decode(REQUEST))),
        (
            "- of which Hermes' dispatcher (the stub's)",
            cost(lambda: host.server.dispatch(request, seat.transport)),
        ),
        ("- of which encode the answer", cost(lambda: encode(ANSWERED))),
        ("write an event, all of it", cost(lambda: seat.transport.write(EVENT), after=empty)),
        ("- of which encode", cost(lambda: encode(EVENT))),
        (f"queue a frame and pack it for the front, {LOT} at once", cost(collect, LOT)),
    ]


def steps_table(steps: list[tuple[str, float]]) -> str:
    """*steps* as Markdown."""
    return table(["Step", "µs"], [[step, f"{each:.2f}"] for step, each in steps])


def main() -> None:
    """Print both tables, and which JSON library was found."""
    sys.path.insert(0, STUB)
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        os.environ["HERMES_HOME"] = home
        print(f"On the event loop\n\n{steps_table(front_steps())}\n")
        print(f"Beside Hermes, with {_library()}\n\n{steps_table(host_steps())}")


def _library() -> str:
    fast: Any = sys.modules["hermes_twisted.hermes.codec"]._fast_encode
    named = getattr(fast, "func", fast)
    return f"{named.__module__}" if fast is not None else json.__name__


if __name__ == "__main__":
    main()
