"""When the worker is started, started again, or left alone for a while.

A state machine without IO: whoever drives it reports what happened, and it says
what to do through `Crew`. Five deaths within a minute are taken for a fault that
another start will not mend: the service then stays up, says why, and tries again
every half a minute until a worker gets ready.
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

#: First pause before a restart, in seconds, and its growth with each death.
FIRST_PAUSE: Final = 0.25
GROWTH: Final = 2.0
#: A random part of the pause is added, so that many servers do not start in step.
JITTER: Final = 0.2
#: So many deaths in so many seconds mean that the worker cannot live.
MAX_DEATHS: Final = 5
DEATHS_WINDOW: Final = 60.0
BROKEN_PAUSE: Final = 30.0


class DelayedCall(Protocol):
    """A timer that can be taken back."""

    def cancel(self) -> None:
        """Forget it."""


class Clock(Protocol):
    """`twisted.internet.interfaces.IReactorTime`, as far as it is needed."""

    def seconds(self) -> float:
        """Now, by any epoch that never jumps."""

    def callLater(self, delay: float, f: Callable[[], Any], /) -> DelayedCall:
        """Call *f* in *delay* seconds."""


class Crew(Protocol):
    """Who does what the supervisor says."""

    def spawn(self) -> None:
        """Start a worker; report its `ready`, `failed` and `died`."""

    def terminate(self) -> None:
        """End the worker that runs; report its `died`."""

    def state_changed(self, state: BackendState, problem: Problem | None) -> None:
        """The backend's state is now another one."""


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
    crew: Crew
    jitter: Callable[[], float]
    retry: Callable[[], None] = field(init=False)
    deaths: deque[float] = field(default_factory=deque, init=False)
    problem: Problem | None = field(default=None, init=False)
    timer: DelayedCall | None = field(default=None, init=False)

    def count_death(self) -> bool:
        """Note a death; True if there have been too many."""
        now = self.clock.seconds()
        self.deaths.append(now)
        while self.deaths[0] <= now - DEATHS_WINDOW:
            self.deaths.popleft()
        return len(self.deaths) >= MAX_DEATHS

    def wait(self, delay: float) -> None:
        self.timer = self.clock.callLater(delay, self.retry)

    def stop_waiting(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def pause(self) -> float:
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
        core.crew.state_changed(BackendState.STARTING, None)
        core.crew.spawn()

    @backing_off.upon(_Inputs.retry).to(starting)
    @broken.upon(_Inputs.retry).to(retrying)
    def again(inputs: _Inputs, core: _Core) -> None:
        core.timer = None
        core.crew.spawn()

    @starting.upon(_Inputs.ready).to(ready)
    @retrying.upon(_Inputs.ready).to(ready)
    def up(inputs: _Inputs, core: _Core) -> None:
        core.crew.state_changed(BackendState.READY, None)

    @starting.upon(_Inputs.failed).to(failing)
    @retrying.upon(_Inputs.failed).to(failing)
    def refuse(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.problem = problem

    @failing.upon(_Inputs.died).to(broken)
    @failing.upon(_Inputs.gave_up).to(broken)
    def refused(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.wait(BROKEN_PAUSE)
        core.crew.state_changed(BackendState.BROKEN, core.problem)

    @starting.upon(_Inputs.died).to(backing_off)
    @ready.upon(_Inputs.died).to(backing_off)
    def restart(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.wait(core.pause())
        core.crew.state_changed(BackendState.RESTARTING, problem)

    @starting.upon(_Inputs.gave_up).to(broken)
    @ready.upon(_Inputs.gave_up).to(broken)
    @retrying.upon(_Inputs.died).to(broken)
    @retrying.upon(_Inputs.gave_up).to(broken)
    def give_up(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.wait(BROKEN_PAUSE)
        core.crew.state_changed(BackendState.BROKEN, problem)

    @starting.upon(_Inputs.stop).to(stopping)
    @ready.upon(_Inputs.stop).to(stopping)
    @retrying.upon(_Inputs.stop).to(stopping)
    @failing.upon(_Inputs.stop).to(stopping)
    def end(inputs: _Inputs, core: _Core) -> None:
        core.crew.terminate()

    @idle.upon(_Inputs.stop).to(stopped)
    @backing_off.upon(_Inputs.stop).to(stopped)
    @broken.upon(_Inputs.stop).to(stopped)
    def end_at_once(inputs: _Inputs, core: _Core) -> None:
        core.stop_waiting()
        core.crew.state_changed(BackendState.STOPPED, None)

    @stopping.upon(_Inputs.died).to(stopped)
    @stopping.upon(_Inputs.gave_up).to(stopped)
    def ended(inputs: _Inputs, core: _Core, problem: Problem) -> None:
        core.crew.state_changed(BackendState.STOPPED, None)

    stopping.upon(_Inputs.ready).loop().returns(None)
    stopping.upon(_Inputs.failed).loop().returns(None)
    stopping.upon(_Inputs.stop).loop().returns(None)
    stopped.upon(_Inputs.stop).loop().returns(None)
    return builder.build()


_machine: Final = _build()


class Supervisor:
    """Keeps one worker alive, as the module says."""

    def __init__(
        self, clock: Clock, crew: Crew, *, jitter: Callable[[], float] = random.random
    ) -> None:
        self._core = _Core(clock, crew, jitter)
        self._inputs = _machine(self._core)
        self._core.retry = self._inputs.retry

    def start(self) -> None:
        """Spawn the first worker."""
        self._inputs.start()

    def ready(self) -> None:
        """The worker has loaded Hermes."""
        self._inputs.ready()

    def failed(self, problem: Problem) -> None:
        """The worker cannot serve Hermes, and will die; another start would not help."""
        self._inputs.failed(problem)

    def died(self, problem: Problem) -> None:
        """The worker's process has ended."""
        if self._core.count_death():
            self._inputs.gave_up(problem)
        else:
            self._inputs.died(problem)

    def stop(self) -> None:
        """End the worker, if one runs, and start none again."""
        self._inputs.stop()
