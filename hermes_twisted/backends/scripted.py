"""The backend `scripted`: plays a recording. For tests and for `hermes-attach demo`."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from .. import rpc
from ..config.kinds import PATH
from ..config.option import Group, required
from ..limits import Limits
from ..meter import Meter
from ..seats.ports import Backend, BackendState, StateListener
from ..seats.queues import make_outbox, make_settlements
from ..shared.backlog import Backlog
from ..shared.outbox import ANSWER, EVENT, Outbox
from ..shared.problem import Problem
from ..shared.schema import Findings
from ..shared.settlements import Settlements
from .spec import BackendSpec, Surroundings

#: JSON-RPC 2.0 §5.1
METHOD_NOT_FOUND: Final = -32601


class BadScript(Exception):
    """A recording that cannot be played; the text names the line."""


@dataclass
class Reaction:
    """The recorded answer to one request: frames, each so many seconds after it."""

    params: dict[str, Any]
    frames: list[tuple[float, dict[str, Any]]] = field(default_factory=list)


@dataclass
class Script:
    """A recording, as reactions to requests.

    Its file has one JSON object a line: `dir` (`c2s` or `s2c`), `t` (seconds), `frame`. The
    frames that the server sent after a request, up to the next one, are the reaction to it; an
    answer that came later still belongs to its own request.
    """

    greeting: list[tuple[float, dict[str, Any]]]
    reactions: dict[str, list[Reaction]]

    @classmethod
    def parse(cls, lines: Iterable[str]) -> Script:
        """Return the recording of these *lines*. Raises `BadScript`."""
        script = cls([], defaultdict(list))
        current, began = script.greeting, 0.0
        asked: dict[str, tuple[float, list[tuple[float, dict[str, Any]]]]] = {}
        for number, line in enumerate(lines, 1):
            try:
                entry = json.loads(line)
                from_server = {"s2c": True, "c2s": False}[entry["dir"]]
                when, frame = float(entry["t"]), entry["frame"]
            except (ValueError, KeyError, TypeError) as error:
                raise BadScript(
                    f"line {number} of the recording is not "
                    '{"dir": "c2s" or "s2c", "t": seconds, "frame": …}'
                ) from error
            if not isinstance(frame, dict):
                continue  # A batch: no client sends one, and it cannot be matched.
            if from_server:
                identity = frame.get("id")
                start, said = asked.pop(str(identity), (began, current))
                said.append((max(0.0, when - start), frame))
            elif frame.get("method"):
                reaction = Reaction(_params(frame))
                script.reactions[frame["method"]].append(reaction)
                current, began = reaction.frames, when
                if frame.get("id") is not None:
                    asked[str(frame["id"])] = (when, reaction.frames)
        return script

    def react(self, method: str, params: dict[str, Any], turn: int) -> Reaction | None:
        """Return the reaction to the recorded request that is most like this one.

        Equally similar ones take turns. None if the method was not recorded.
        """
        candidates = self.reactions.get(method)
        if not candidates:
            return None

        def likeness(reaction: Reaction) -> int:
            return sum(reaction.params.get(name) == value for name, value in params.items())

        best = max(map(likeness, candidates))
        alike = [reaction for reaction in candidates if likeness(reaction) == best]
        return alike[turn % len(alike)]


class ScriptedChannel:
    """Plays the recording to one seat."""

    def __init__(self, backend: ScriptedBackend, outbox: Outbox, settlements: Settlements) -> None:
        self._backend = backend
        self.outbox = outbox
        self.settlements = settlements
        self._turns: Counter[str] = Counter()
        self._timers: set[IDelayedCall] = set()

    def begin(self) -> None:
        """Play what the server sent before the first request."""
        self._play(self._backend.script.greeting, rpc.NULL)

    def submit(self, frame: rpc.Frame) -> None:
        """Play the reaction to *frame*; a method that was not recorded is an error."""
        self.settlements.settle(len(frame.text))
        try:
            params = _params(json.loads(frame.text))
        except (ValueError, RecursionError):  # Python takes less than the front does.
            self.outbox.put(rpc.error(rpc.NULL, rpc.PARSE_ERROR, "parse error"), ANSWER)
            return
        turn = self._turns[frame.method]
        self._turns[frame.method] += 1
        reaction = self._backend.script.react(frame.method, params, turn)
        if reaction is None:
            message = f"unknown method: {frame.method[:64]}"
            self.outbox.put(rpc.error(frame.id, METHOD_NOT_FOUND, message), ANSWER)
            return
        if frame.method == "session.interrupt":
            self._cancel()
        self._play(reaction.frames, frame.id)

    def delivered(self, size: int) -> None:
        """Do nothing: a recording does not wait for its client."""

    def close(self) -> None:
        """Drop the frames whose time has not come."""
        self._cancel()
        self.outbox.close()

    def _play(self, recorded: list[tuple[float, dict[str, Any]]], identity: bytes) -> None:
        for when, frame in recorded:
            if "method" in frame:
                said, kind = rpc.encode(frame), EVENT
            else:
                said, kind = _answer(frame, identity), ANSWER
            delay = when * self._backend.pace
            if delay > 0:
                self._say_later(delay, said, kind)
            else:
                self.outbox.put(said, kind)

    def _say_later(self, delay: float, text: bytes, kind: int) -> None:
        def say() -> None:
            self._timers.discard(timer)
            self.outbox.put(text, kind)

        timer = self._backend.clock.callLater(delay, say)
        self._timers.add(timer)

    def _cancel(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()


def _params(request: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters by name; empty if they are not named."""
    params = request.get("params")
    return params if isinstance(params, dict) else {}


def _answer(recorded: dict[str, Any], identity: bytes) -> bytes:
    """Return the *recorded* answer for the request of this id, which is JSON as it came."""
    rest = rpc.encode({name: value for name, value in recorded.items() if name != "id"})
    return b'{"id":%b%b%b' % (identity, b"" if rest == b"{}" else b",", rest[1:])


class ScriptedBackend:
    """Answers every seat from *script*. With *pace* 1 in recorded time, with 0 at once."""

    def __init__(
        self, clock: IReactorTime, limits: Limits, script: Script, *, pace: float = 0.0
    ) -> None:
        self.state = BackendState.STOPPED
        self.problem: Problem | None = None
        self.findings: Findings | None = None
        self.clock = clock
        self.script = script
        self.pace = pace
        self._limits = limits
        self._backlog = Backlog(limits.max_queued_total)
        self._listener: StateListener = lambda state, problem: None

    def start(self, listener: StateListener, meter: Meter) -> None:
        """Become ready at once."""
        self._listener = listener
        self.findings = Findings("a recording", methods=len(self.script.reactions))
        self._change(BackendState.READY)

    def open(self, number: int, wake: Callable[[], None]) -> ScriptedChannel:
        """Return a channel that plays the recording from its beginning."""
        outbox = make_outbox(self._limits, wake, total=self._backlog)
        channel = ScriptedChannel(self, outbox, make_settlements(self._limits, wake))
        channel.begin()
        return channel

    def drain(self, timeout: float) -> Deferred[bool]:
        """Return at once: nothing runs here."""
        return succeed(True)

    def stop(self) -> Deferred[None]:
        """Become stopped at once."""
        self._change(BackendState.STOPPED)
        return succeed(None)

    def _change(self, state: BackendState) -> None:
        self.state = state
        self._listener(state, None)


@dataclass(frozen=True)
class ScriptedOptions:
    """The options of the backend `scripted`."""

    script: Path = required(
        PATH, group=Group.HERMES, help="File with the recording that --backend scripted plays"
    )


def read_script(path: Path) -> Script:
    """Return the recording in the file *path*. Raises `Problem`."""
    try:
        return Script.parse(path.read_text(encoding="utf-8").splitlines())
    except OSError as error:
        raise Problem(
            f"--script {path} cannot be read: {error.strerror}.",
            "Name a file that the server's user can read.",
        ) from None
    except (BadScript, UnicodeDecodeError) as error:
        raise Problem(
            f"--script {path}: {error}.", "Each line of a recording is one object of JSON."
        ) from None


def build(surroundings: Surroundings, options: ScriptedOptions) -> Backend:
    """Return a backend that plays in recorded time. Raises `Problem`, as `read_script` does."""
    script = read_script(options.script)
    return ScriptedBackend(surroundings.reactor, surroundings.limits, script, pace=1.0)


def validate(options: ScriptedOptions) -> None:
    """Raise `Problem` if the recording cannot be played."""
    read_script(options.script)


SPEC: Final = BackendSpec(
    name="scripted",
    help="a recording instead of Hermes",
    options=ScriptedOptions,
    build=build,
    validate=validate,
)
