from __future__ import annotations

import json
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from hermes_twisted import rpc
from hermes_twisted.backends.scripted import (
    BadScript,
    Script,
    ScriptedBackend,
    ScriptedChannel,
)
from hermes_twisted.limits import Limits
from hermes_twisted.meter import NullMeter
from hermes_twisted.seats.ports import BackendState
from hermes_twisted.seats.queues import batch_count
from hermes_twisted.shared.problem import Problem
from hermes_twisted.shared.schema import Findings

EVERYTHING = 2**40


def line(direction: str, when: float, frame: Any) -> str:
    return json.dumps({"dir": direction, "t": when, "frame": frame})


def ask(when: float, identity: Any, method: str, **params: Any) -> str:
    return line("c2s", when, {"id": identity, "method": method, "params": params})


def answer(when: float, identity: Any, result: Any) -> str:
    return line("s2c", when, {"id": identity, "result": result})


def event(when: float, kind: str) -> str:
    return line("s2c", when, {"method": "event", "params": {"type": kind}})


def kinds(recorded: list[tuple[float, dict[str, Any]]]) -> list[tuple[float, Any]]:
    """When was said what: an event's type, or an answer's result."""
    return [
        (when, frame["params"]["type"] if "method" in frame else frame["result"])
        for when, frame in recorded
    ]


TALK = [
    event(0.0, "gateway.ready"),
    event(0.5, "welcome"),
    ask(1.0, "a", "prompt.submit", text="hello"),
    answer(1.25, "a", "streaming"),
    event(2.0, "message.delta"),
    event(3.0, "message.complete"),
    ask(10.0, "b", "prompt.submit", text="bye"),
    answer(10.0, "b", "streaming"),
    event(11.0, "bye"),
    ask(20.0, "c", "session.interrupt"),
    answer(20.0, "c", "interrupted"),
]


class Stage:
    """A scripted backend with one seat."""

    def __init__(self, lines: list[str], pace: float = 0.0) -> None:
        self.clock = Clock()
        self.states: list[tuple[BackendState, Problem | None]] = []
        self.backend = ScriptedBackend(self.clock, Limits(), Script.parse(lines), pace=pace)
        self.backend.start(lambda state, problem: self.states.append((state, problem)), NullMeter())
        self.wakes = 0
        self.channel = self.open()

    def open(self) -> ScriptedChannel:
        return self.backend.open(1, self.wake)

    def wake(self) -> None:
        self.wakes += 1

    def ask(self, method: str, identity: Any = 1, **params: Any) -> None:
        self.ask_text({"id": identity, "method": method, "params": params})

    def ask_text(self, request: Any) -> None:
        text = request if isinstance(request, bytes) else json.dumps(request).encode()
        self.channel.submit(rpc.parse(text))

    def said(self) -> list[Any]:
        """Types of events, and whole answers, since this was last asked."""
        said = [json.loads(text) for _kind, _tag, text in self.channel.outbox.take(EVERYTHING)]
        return [frame["params"]["type"] if "method" in frame else frame for frame in said]


def test_greeting() -> None:
    """What the server said before the first request is its greeting."""
    script = Script.parse(TALK)

    assert kinds(script.greeting) == [(0.0, "gateway.ready"), (0.5, "welcome")]


def test_reactions() -> None:
    """What the server said after a request is the reaction to it, in time since then."""
    script = Script.parse(TALK)

    first, second = script.reactions["prompt.submit"]
    assert first.params == {"text": "hello"}
    assert kinds(first.frames) == [
        (0.25, "streaming"),
        (1.0, "message.delta"),
        (2.0, "message.complete"),
    ]
    assert kinds(second.frames) == [(0.0, "streaming"), (1.0, "bye")]


def test_late_answer_belongs_to_its_request() -> None:
    """An answer that came after another request still belongs to its own."""
    script = Script.parse(
        [ask(1, 1, "slow"), ask(2, 2, "quick"), answer(3, 2, "q"), answer(5, 1, "s"), event(6, "e")]
    )

    assert kinds(script.reactions["slow"][0].frames) == [(4.0, "s")]
    assert kinds(script.reactions["quick"][0].frames) == [(1.0, "q"), (4.0, "e")]


def test_notification() -> None:
    """A request without an id has a reaction, too."""
    script = Script.parse([line("c2s", 1, {"method": "note"}), event(2, "noted")])

    assert kinds(script.reactions["note"][0].frames) == [(1.0, "noted")]


def test_clock_of_the_recorder_may_step() -> None:
    """A time that goes backwards counts as none."""
    script = Script.parse([ask(5, 1, "a"), answer(4, 1, "r")])

    assert kinds(script.reactions["a"][0].frames) == [(0.0, "r")]


def test_answers_of_the_client_and_batches_are_skipped() -> None:
    """What cannot be matched is left out."""
    script = Script.parse(
        [line("c2s", 1, [1]), line("s2c", 1, "x"), line("c2s", 2, {"id": 1, "result": 1})]
    )

    assert (script.greeting, dict(script.reactions)) == ([], {})


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "{",
        "[]",
        "5",
        '{"dir": "c2s", "t": 1}',
        '{"dir": "c2s", "frame": {}}',
        '{"t": 1, "frame": {}}',
        '{"dir": "c2s", "t": "noon", "frame": {}}',
        '{"dir": "c2s", "t": null, "frame": {}}',
    ],
)
def test_bad_line(bad: str) -> None:
    """A line that is no entry is refused by its number."""
    with pytest.raises(BadScript, match="line 2 of the recording"):
        Script.parse([event(0, "x"), bad])


def test_unknown_direction() -> None:
    """A direction other than the two is refused."""
    with pytest.raises(BadScript, match="line 1"):
        Script.parse([line("sideways", 0, {"id": 1, "method": "a"})])


def test_the_likest_reaction() -> None:
    """Of several recorded requests the one with the most equal parameters is played."""
    script = Script.parse(TALK)

    def chosen(turn: int, **params: Any) -> Any:
        reaction = script.react("prompt.submit", params, turn)
        assert reaction is not None
        return reaction.params["text"]

    assert chosen(0, text="bye") == "bye"
    assert chosen(1, text="bye", other=1) == "bye"
    assert [chosen(turn, text="unheard") for turn in range(3)] == ["hello", "bye", "hello"]


def test_no_reaction() -> None:
    """To a method that was not recorded there is none."""
    assert Script.parse(TALK).react("unheard", {}, 0) is None


def test_recorded_params_of_another_type() -> None:
    """A recorded request whose parameters are a list is like none."""
    script = Script.parse([line("c2s", 0, {"id": 1, "method": "a", "params": [1]})])

    assert script.react("a", {"x": 1}, 0) is not None


def test_ready_at_once() -> None:
    """A scripted backend is ready when it has started, and says what it is."""
    stage = Stage(TALK)

    assert stage.states == [(BackendState.READY, None)]
    assert stage.backend.state is BackendState.READY
    assert stage.backend.findings == Findings("a recording", methods=2)


def test_before_the_start() -> None:
    """A scripted backend that was not started is stopped, and has nothing to report."""
    backend = ScriptedBackend(Clock(), Limits(), Script.parse(TALK))

    assert (backend.state, backend.problem, backend.findings) == (BackendState.STOPPED, None, None)


def test_stop() -> None:
    """Nothing runs: a drain and a stop are done at once."""
    stage = Stage(TALK)
    results: list[Any] = []

    drained: Deferred[bool] = stage.backend.drain(10)
    drained.addCallback(results.append)
    stopped: Deferred[None] = stage.backend.stop()
    stopped.addCallback(results.append)

    assert results == [True, None]
    assert stage.states[-1] == (BackendState.STOPPED, None)


def test_stop_before_the_start() -> None:
    """A backend that never started can be stopped."""
    backend = ScriptedBackend(Clock(), Limits(), Script.parse(TALK))

    backend.stop()

    assert backend.state is BackendState.STOPPED


def test_playing_at_once() -> None:
    """Without a pace everything is said at once, under the id of the client."""
    stage = Stage(TALK)
    assert stage.said() == ["gateway.ready", "welcome"]

    stage.ask("prompt.submit", identity={"my": "id"}, text="hello")

    assert stage.said() == [
        {"id": {"my": "id"}, "result": "streaming"},
        "message.delta",
        "message.complete",
    ]
    assert stage.clock.getDelayedCalls() == []


def test_playing_in_time() -> None:
    """With a pace of one, frames come when they came in the recording."""
    stage = Stage(TALK, pace=1.0)
    assert stage.said() == ["gateway.ready"]
    stage.clock.advance(0.5)
    assert stage.said() == ["welcome"]
    stage.ask("prompt.submit", text="hello")

    heard = []
    for _ in range(8):
        stage.clock.advance(0.25)
        heard.append(stage.said())

    streaming = {"id": 1, "result": "streaming"}
    assert heard == [[streaming], [], [], ["message.delta"], [], [], [], ["message.complete"]]


def test_pace_stretches() -> None:
    """A pace of two plays in double time."""
    stage = Stage(TALK, pace=2.0)
    stage.said()

    stage.clock.advance(0.99)
    assert stage.said() == []
    stage.clock.advance(0.01)

    assert stage.said() == ["welcome"]


def test_equal_requests_take_turns() -> None:
    """The same request again gets the next recorded reaction; each seat counts for itself."""
    stage = Stage(TALK)
    stage.said()
    last = []
    for _ in range(3):
        stage.ask("prompt.submit")
        last.append(stage.said()[-1])
    stage.channel = stage.open()
    stage.said()
    stage.ask("prompt.submit")

    assert last == ["message.complete", "bye", "message.complete"]
    assert stage.said()[-1] == "message.complete"


def test_unknown_method() -> None:
    """A method that was not recorded is answered as Hermes answers it, and not quoted at length."""
    stage = Stage(TALK)
    stage.said()

    stage.ask("x" * 1000, identity="q")

    [said] = stage.said()
    assert (said["id"], said["error"]["code"]) == ("q", -32601)
    assert said["error"]["message"] == "unknown method: " + "x" * 64


@pytest.mark.parametrize("params", [None, [1], "x"])
def test_params_of_another_type(params: Any) -> None:
    """Parameters that are no object are like none."""
    stage = Stage(TALK)
    stage.said()

    stage.ask_text({"id": 1, "method": "prompt.submit", "params": params})

    assert stage.said()[-1] == "message.complete"


def test_interrupt() -> None:
    """An interrupt stops what is still being said, and is answered."""
    stage = Stage(TALK, pace=1.0)
    stage.clock.advance(0.5)
    stage.ask("prompt.submit", text="hello")
    stage.clock.advance(0.25)
    stage.said()

    stage.ask("session.interrupt", identity="i")
    stage.clock.advance(100)

    assert stage.said() == [{"id": "i", "result": "interrupted"}]


def test_interrupt_that_was_not_recorded() -> None:
    """An interrupt to which there is no reaction stops nothing."""
    stage = Stage(TALK[:-2], pace=1.0)
    stage.said()

    stage.ask("session.interrupt")
    stage.clock.advance(0.5)

    assert stage.said()[-1] == "welcome"


def test_close() -> None:
    """A client that is gone is told nothing more, and leaves no timer behind."""
    stage = Stage(TALK, pace=1.0)
    stage.channel.delivered(5)

    stage.channel.close()

    assert stage.clock.getDelayedCalls() == []
    assert stage.said() == []


def test_requests_are_settled() -> None:
    """Every request counts as settled at once, with its bytes, known or not."""
    stage = Stage(TALK)
    limits = Limits()

    count = batch_count(limits)
    for _ in range(count):
        stage.ask_text(b'{"id":1,"method":"x"}')

    assert stage.channel.settlements.take() == (count, count * 21)


def test_limits_reach_the_outbox() -> None:
    """A client that reads nothing of a recording is given up at the hard limit."""
    limits = Limits(max_queued_soft=10, max_queued_hard=10)
    backend = ScriptedBackend(Clock(), limits, Script.parse(TALK))

    assert backend.open(1, lambda: None).outbox.overflowed


def test_number_that_python_refuses() -> None:
    """A request that only our first parser takes is answered: nothing is raised to the link."""
    stage = Stage(TALK)
    stage.said()

    stage.ask_text(b'{"id":1,"method":"prompt.submit","params":%b}' % (b"1" * 5000))

    assert stage.said() == [
        {"jsonrpc": "2.0", "id": None, "error": {"code": -32700, "message": "parse error"}}
    ]


def test_id_that_python_cannot_hold() -> None:
    """An id beyond the range of a float is given back as it was."""
    stage = Stage(TALK)

    stage.ask_text(b'{"id":1e999,"method":"prompt.submit"}')

    assert b'"id":1e999' in b"".join(
        text for _kind, _tag, text in stage.channel.outbox.take(EVERYTHING)
    )


@pytest.mark.parametrize("identity", [b"null", b'"\xc3\xa9"', b"[1, {}]", b"1.50"])
@pytest.mark.parametrize("recorded", [{"id": 1}, {"id": 1, "result": {"id": 1}}])
def test_id_as_it_came(identity: bytes, recorded: dict[str, Any]) -> None:
    """A recorded answer is given under the request's id, letter by letter."""
    stage = Stage([line("c2s", 0, {"id": 1, "method": "a"}), line("s2c", 0, recorded)])

    stage.ask_text(b'{"id":%b,"method":"a"}' % identity)

    [(_kind, _tag, text)] = stage.channel.outbox.take(EVERYTHING)
    assert text.startswith(b'{"id":' + identity)
    assert json.loads(text) == {**recorded, "id": json.loads(identity)}
