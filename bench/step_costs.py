"""`python -m bench.step_costs`: the CPU time of each step of a request and of an event.

One thread and no sockets: system calls and switches between threads are not in these numbers.
They are the difference between their sum and a round trip.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
import timeit
from collections.abc import Callable
from types import SimpleNamespace
from typing import Final

from hermes_twisted.access.keys import Key
from hermes_twisted.hermes.codec import decode, encode
from hermes_twisted.hermes.host import Host
from hermes_twisted.limits import Limits
from hermes_twisted.operate.metrics import Metrics
from hermes_twisted.seats.attachment import Attachment
from hermes_twisted.seats.calls import Calls
from hermes_twisted.seats.seat import Seat
from hermes_twisted.shared.lanes import LanePool
from hermes_twisted.shared.outbox import ANSWER, DELTA, Outbox
from hermes_twisted.shared.packets import HEADER, Op, Unpacker, pack
from hermes_twisted.shared.settlements import Settlements
from hermes_twisted.testing.wire import client_frame
from hermes_twisted.websocket.frames import split_texts, text_frames

from .results import table
from .servers import STUB
from .traffic import PARAMS, request

#: The best of so many rounds of so many runs counts: disturbances only make things slower.
ROUNDS: Final = 7
RUNS: Final = 20_000
#: Frames in one read, or one batch.
BATCH: Final = 16
ALL: Final = 1 << 40

REQUEST: Final = request("echo", PARAMS, 1234)
ANSWERED: Final = {"jsonrpc": "2.0", "id": 1234, "result": {"text": "x" * 26, "cols": 80}}
PAYLOAD: Final = {"text": "word ", "n": 12345, "t": 123456.789}
PARAMETERS: Final = {"type": "message.delta", "session_id": "abcd1234", "payload": PAYLOAD}
EVENT: Final = {"jsonrpc": "2.0", "method": "event", "params": PARAMETERS}

#: Microseconds, by step.
Costs = dict[str, float]


def cost(run: Callable[[], object], per: int = 1, after: Callable[[], object] = bool) -> float:
    """Return microseconds of *run*, divided by *per*; *after* is called between rounds."""
    runs = RUNS // per
    best = min(timeit.repeat(run, setup=after, repeat=ROUNDS, number=runs))
    return best / runs / per * 1e6


def front_steps() -> Costs:
    """Measure the front's steps for one request, and for one frame to the client."""
    metrics = Metrics()
    calls = Calls(metrics, time.monotonic)
    outbox = Outbox(lambda: None, answered=calls.end)
    channel = SimpleNamespace(outbox=outbox, settlements=Settlements(lambda: None, count=1))
    channel.submit = channel.delivered = lambda what: None
    limits = Limits(max_waiting_requests=ALL, max_waiting_bytes=ALL * 1000)
    seat = Seat(1, Key("bench", b""), limits, lambda wake: channel, meter=metrics)
    link = SimpleNamespace(writable=True, send=lambda texts: b"".join(text_frames(texts)))
    seat.attach(Attachment(link, peer="", source="", now=0.0))
    read = client_frame(REQUEST) * BATCH
    answer = encode(ANSWERED)
    packets = pack(Op.ANSWER, 1, 0, answer) * BATCH
    unpacker = Unpacker()

    def account() -> None:
        calls.begin(1, "echo", b"1234")
        calls.end(1, answer)

    def deliver() -> None:
        for _ in range(BATCH):
            outbox.put(answer, ANSWER)
        seat.flush()

    take_frames = f"take a frame out of a read of {BATCH}: unmask, check"
    take_packets = f"take a packet out of a read of {BATCH}"
    return {
        take_frames: cost(lambda: split_texts(read, 1 << 24), BATCH),
        "take a request apart, judge it, count it": cost(lambda: seat.received(REQUEST)),
        "pack it for the worker": cost(lambda: pack(Op.REQUEST, 1, 7, REQUEST)),
        take_packets: cost(lambda: list(unpacker.feed(packets)), BATCH),
        "time the request, from begin to end": cost(account),
        f"queue a frame and flush, {BATCH} at once": cost(deliver, BATCH),
    }


def host_steps() -> Costs:
    """Measure the worker's steps for one request, and for one event."""
    host = Host.load(lanes := LanePool())
    outbox, settlements = Outbox(lambda: None), Settlements(lambda: None)
    seat = host.open(outbox, settlements)
    assert lanes.wait_quiet(10)
    decoded = decode(REQUEST)

    def empty() -> None:
        outbox.take(ALL)
        settlements.take()

    def run() -> None:
        seat.requests.run(1, decode(REQUEST), len(REQUEST), urgent=False)

    def collect() -> None:
        for _ in range(BATCH):
            outbox.put(REQUEST, DELTA)
        chunks: list[bytes] = []
        for _kind, tag, text in outbox.take(ALL):
            chunks += (HEADER.pack(Op.EVENT, 1, tag, len(text)), text)
        b"".join(chunks)

    dispatch, transport = host.server.dispatch, seat.transport
    return {
        "run a request, all of it": cost(run, after=empty),
        "- of which decode": cost(lambda: decode(REQUEST)),
        "- of which Hermes' dispatcher": cost(lambda: dispatch(decoded, transport)),
        "- of which encode the answer": cost(lambda: encode(ANSWERED)),
        "write an event, all of it": cost(lambda: transport.write(EVENT), after=empty),
        "- of which encode": cost(lambda: encode(EVENT)),
        f"queue a frame and pack it for the front, {BATCH} at once": cost(collect, BATCH),
    }


def main() -> None:
    """Print both tables."""
    sys.path.insert(0, STUB)
    with tempfile.TemporaryDirectory(prefix="bench-") as home:
        os.environ["HERMES_HOME"] = home
        for title, steps in ("On the event loop", front_steps), ("Beside Hermes", host_steps):
            rows = [[step, f"{microseconds:.2f}"] for step, microseconds in steps().items()]
            print(f"{title}\n\n{table(['Step', 'µs'], rows)}\n")


if __name__ == "__main__":
    main()
