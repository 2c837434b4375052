"""Decides when the worker is started, started again after a crash, and ended.

A state machine without IO. Its owner reports events; it calls `SupervisorActions`. After a
death the worker is started again, after pauses that grow. Five deaths within a minute mean a
fault that another start will not mend: the backend is broken, and a start is tried every half
a minute until a worker is ready. The same goes for a Hermes that cannot be served.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from automat import TypeMachineBuilder

from ..seats.ports import BackendState
from ..shared.problem import Problem

#: The first pause before a restart, in seconds, and the factor for each further death.
FIRST_PAUSE: Final = 0.25
GROWTH: Final = 2.0
#: Up to this part of the pause is added at random, so that many servers do not start at once.
JITTER: Final = 0.2
#: This many deaths in this many seconds make the backend broken.
MAX_DEATHS: Final = 5
DEATHS_WINDOW: Final = 60.0
#: Seconds between two starts while the backend is broken.
BROKEN_PAUSE: Final = 30.0


class DelayedCall(Protocol):
    """A timer that can be cancelled: `IDelayedCall`."""

    def cancel(self) -> None:
        """Cancel the call."""


class Clock(Protocol):
    """The part of `twisted.internet.interfaces.IReactorTime` that is used."""

    def seconds(self) -> float:
        """Return the time, in seconds of a clock that never jumps."""

    def callLater(self, delay: float, f: Callable[[], Any], /) -> DelayedCall:
        """Call *f* in *delay* seconds."""


class SupervisorActions(Protocol):
    """Side effects that a `Supervisor` asks for."""

    def spawn(self) -> None:
        """Start a worker, and report its `ready`, `failed` and `died`."""

    def terminate(self) -> None:
        """End the running worker, and report its `died`."""

    def state_changed(self, state: BackendState, problem: Problem | None) -> None:
        """Announce the backend's new state, and the problem that caused it."""


class _Inputs(Protocol):
    def start(self) -> None: ...
    def ready(self) -> None: ...
    def failed(self, problem: Problem) -> None: ...
    def died(self, problem: Problem) -> None: ...
    def gave_up(self, problem: Problem) -> None: ...
    def retry(self) -> None: ...
    def stop(self) -> None: ...


@dataclass
class _Core:
    clock: Clock
    actions: SupervisorActions
    jitter: Callable[[], float]
    deaths: deque[float] = field(default_factory=deque, init=False)
    problem: Problem | None = field(default=None, init=False)
    timer: DelayedCall | None = field(default=None, init=False)

    def count_death(self) -> bool:
        """Count a death; True if there were too many in a short time."""
        now = self.clock.seconds()
        self.deaths.append(now)
        while self.deaths[0] <= now - DEATHS_WINDOW:
            self.deaths.popleft()
        return len(self.deaths) >= MAX_DEATHS

    def retry_in(self, delay: float, inputs: _Inputs) -> None:
        self.timer = self.clock.callLater(delay, inputs.retry)

    def stop_waiting(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def pause(self) -> float:
        """Return the seconds until the next start."""
        pause = FIRST_PAUSE * GROWTH ** (len(self.deaths) - 1)
        return pause * (1 + JITTER * self.jitter())


def _build() -> Callable[[_Core], _Inputs]:
    builder = TypeMachineBuilder(_Inputs, _Core)
    idle = builder.state("idle")
    starting = builder.state("starting")
    ready = builder.state("ready")
    failing = builder.state("failing")
    backing_off = builder.state("backing off")
    broken = builder.state("broken")
    retrying = builder.state("retrying")
    stopping = builder.state("stopping")
    stopped = builder.state("stopped")

    @idle.upon(_Inputs.start).to(starting)
    def begin(inputs: _Inputs, core: _Core) -> None:
        core.actions.state_changed(BackendState.STARTING, None)
        core.actions.spawn()

    @backing_off.upon(_Inputs.retry).to(starting)
    @broken.upon(_Inputs.retry).to(retrying)
    def again(inputs: _Inputs, core: _Core) -> None:
        core.timer = None
        core.actions.spawn()

    @starting.upon(_Inputs.ready).to(ready)
    @retrying.upon(_Inputs.ready).to(ready)
    def up(inputs: _Inputs, core: _Core) -> None:
        core.actions.state_changed(BackendState.READY, None)

    @starting.upon(_Inputs.failed).to(failing)
    @retrying.upon(_Inputs.failed).to(failing)
    def refuse(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.problem = problem

    @failing.upon(_Inputs.died).to(broken)
    @failing.upon(_Inputs.gave_up).to(broken)
    def refused(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.retry_in(BROKEN_PAUSE, inputs)
        core.actions.state_changed(BackendState.BROKEN, core.problem)

    @starting.upon(_Inputs.died).to(backing_off)
    @ready.upon(_Inputs.died).to(backing_off)
    def restart(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.retry_in(core.pause(), inputs)
        core.actions.state_changed(BackendState.RESTARTING, problem)

    @starting.upon(_Inputs.gave_up).to(broken)
    @ready.upon(_Inputs.gave_up).to(broken)
    @retrying.upon(_Inputs.died).to(broken)
    @retrying.upon(_Inputs.gave_up).to(broken)
    def give_up(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.retry_in(BROKEN_PAUSE, inputs)
        core.actions.state_changed(BackendState.BROKEN, problem)

    @starting.upon(_Inputs.stop).to(stopping)
    @ready.upon(_Inputs.stop).to(stopping)
    @retrying.upon(_Inputs.stop).to(stopping)
    @failing.upon(_Inputs.stop).to(stopping)
    def end(inputs: _Inputs, core: _Core) -> None:
        core.actions.terminate()

    @idle.upon(_Inputs.stop).to(stopped)
    @backing_off.upon(_Inputs.stop).to(stopped)
    @broken.upon(_Inputs.stop).to(stopped)
    def end_at_once(inputs: _Inputs, core: _Core) -> None:
        core.stop_waiting()
        core.actions.state_changed(BackendState.STOPPED, None)

    @stopping.upon(_Inputs.died).to(stopped)
    @stopping.upon(_Inputs.gave_up).to(stopped)
    def ended(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.actions.state_changed(BackendState.STOPPED, None)

    stopping.upon(_Inputs.ready).loop().returns(None)
    stopping.upon(_Inputs.failed).loop().returns(None)
    stopping.upon(_Inputs.stop).loop().returns(None)
    stopped.upon(_Inputs.stop).loop().returns(None)
    return builder.build()


_machine: Final = _build()


class Supervisor:
    """Keeps one worker running, by the rules of this module."""

    def __init__(
        self,
        clock: Clock,
        actions: SupervisorActions,
        *,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """*jitter* returns a random number from 0 to 1."""
        self._core = _Core(clock, actions, jitter)
        self._inputs = _machine(self._core)

    def start(self) -> None:
        """Spawn the first worker."""
        self._inputs.start()

    def ready(self) -> None:
        """Report that the worker has loaded Hermes."""
        self._inputs.ready()

    def failed(self, problem: Problem) -> None:
        """Report that the worker cannot serve Hermes, and that its `died` follows."""
        self._inputs.failed(problem)

    def died(self, problem: Problem) -> None:
        """Report that the worker's process has ended."""
        if self._core.count_death():
            self._inputs.gave_up(problem)
        else:
            self._inputs.died(problem)

    def stop(self) -> None:
        """End the worker, if one runs, and start no other."""
        self._inputs.stop()
