from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.task import Clock

from hermes_twisted.backends.supervision import (
    BROKEN_PAUSE,
    DEATHS_WINDOW,
    FIRST_PAUSE,
    GROWTH,
    JITTER,
    MAX_DEATHS,
    Supervisor,
)
from hermes_twisted.seats.ports import BackendState
from hermes_twisted.shared.problem import Problem

CRASH = Problem("The worker died.", "See the log.")
NO_HERMES = Problem("No Hermes.", "Install it.")


class FakeActions:
    """Notes what it is asked for."""

    def __init__(self) -> None:
        self.spawned = 0
        self.terminated = 0
        self.states: list[tuple[BackendState, Problem | None]] = []

    def spawn(self) -> None:
        self.spawned += 1

    def terminate(self) -> None:
        self.terminated += 1

    def state_changed(self, state: BackendState, problem: Problem | None) -> None:
        self.states.append((state, problem))


class Yard:
    """A supervisor with its actions and clock."""

    def __init__(self, jitter: Callable[[], float] = lambda: 0.0) -> None:
        self.clock = Clock()
        self.actions = FakeActions()
        self.supervisor = Supervisor(self.clock, self.actions, jitter=jitter)

    @property
    def state(self) -> tuple[BackendState, Problem | None]:
        return self.actions.states[-1]

    @property
    def pause(self) -> float:
        """Seconds until the next start; fails unless there is just one timer."""
        [call] = self.clock.getDelayedCalls()
        return call.getTime() - self.clock.seconds()

    def start(self, *, ready: bool = True) -> None:
        self.supervisor.start()
        if ready:
            self.supervisor.ready()

    def die(self, times: int) -> None:
        """The worker dies so often, as soon as it is started again."""
        for _ in range(times):
            self.supervisor.died(CRASH)
            self.clock.advance(self.pause)

    def assert_silent(self) -> None:
        """Nothing more will happen by itself."""
        before = self.actions.spawned, list(self.actions.states)
        assert self.clock.getDelayedCalls() == []
        self.clock.advance(10_000)
        assert (self.actions.spawned, self.actions.states) == before


@pytest.fixture
def yard() -> Yard:
    return Yard()


def test_nothing_before_the_start(yard: Yard) -> None:
    """A supervisor that was not started starts nothing."""
    yard.assert_silent()
    assert yard.actions.spawned == 0


def test_start(yard: Yard) -> None:
    """A start spawns one worker, and it is ready when it says so."""
    yard.supervisor.start()
    assert (yard.actions.spawned, yard.state) == (1, (BackendState.STARTING, None))

    yard.supervisor.ready()

    assert yard.state == (BackendState.READY, None)
    yard.assert_silent()


@pytest.mark.parametrize("ready", [True, False])
def test_restart_after_a_pause(yard: Yard, ready: bool) -> None:
    """A worker that died, ready or not, is started again after the first pause, not before."""
    yard.start(ready=ready)

    yard.supervisor.died(CRASH)
    assert yard.state == (BackendState.RESTARTING, CRASH)
    yard.clock.advance(FIRST_PAUSE - 0.01)
    assert yard.actions.spawned == 1
    yard.clock.advance(0.01)

    assert yard.actions.spawned == 2
    yard.supervisor.ready()
    assert yard.state == (BackendState.READY, None)


def test_pauses_grow(yard: Yard) -> None:
    """Each death in a row makes the pause longer."""
    yard.start(ready=False)
    pauses = []
    for _ in range(MAX_DEATHS - 1):
        yard.supervisor.died(CRASH)
        pauses.append(yard.pause)
        yard.clock.advance(yard.pause)

    assert pauses == [FIRST_PAUSE * GROWTH**number for number in range(MAX_DEATHS - 1)]


def test_pauses_are_jittered() -> None:
    """A random part of the pause is added to it, at most the part that was fixed."""
    yard = Yard(jitter=lambda: 1.0)
    yard.start()

    yard.supervisor.died(CRASH)

    assert yard.pause == pytest.approx(FIRST_PAUSE * (1 + JITTER))


def test_jitter_is_random_by_default() -> None:
    """By default the pause is within its bounds."""
    clock, actions = Clock(), FakeActions()
    supervisor = Supervisor(clock, actions)
    supervisor.start()

    supervisor.died(CRASH)

    [call] = clock.getDelayedCalls()
    assert FIRST_PAUSE <= call.getTime() <= FIRST_PAUSE * (1 + JITTER)


def test_old_deaths_are_forgotten(yard: Yard) -> None:
    """A death after a quiet minute is the first one again."""
    yard.start()
    yard.die(MAX_DEATHS - 1)
    yard.clock.advance(DEATHS_WINDOW)

    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.RESTARTING, CRASH)
    assert yard.pause == FIRST_PAUSE


def test_too_many_deaths(yard: Yard) -> None:
    """Five deaths within a minute are a fault: say so, and try again every half a minute."""
    yard.start()
    yard.die(MAX_DEATHS - 1)
    yard.supervisor.ready()

    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.BROKEN, CRASH)
    assert yard.pause == BROKEN_PAUSE
    yard.clock.advance(BROKEN_PAUSE)
    assert yard.actions.spawned == MAX_DEATHS + 1


def test_broken_until_ready(yard: Yard) -> None:
    """A new attempt does not hide that the backend is broken; a worker that is ready does."""
    yard.start(ready=False)
    yard.die(MAX_DEATHS)
    assert yard.state == (BackendState.BROKEN, CRASH)

    yard.supervisor.ready()

    assert yard.state == (BackendState.READY, None)


@pytest.mark.parametrize("refused", [True, False])
def test_every_half_a_minute(yard: Yard, refused: bool) -> None:
    """Once broken it stays so, with one attempt every half a minute, whatever that one dies of."""
    yard.start(ready=False)
    if refused:
        yard.supervisor.failed(NO_HERMES)
        yard.supervisor.died(NO_HERMES)
    else:
        yard.die(MAX_DEATHS - 1)
        yard.supervisor.died(CRASH)

    for number in range(10):
        spawned, told = yard.actions.spawned, len(yard.actions.states)
        assert yard.pause == BROKEN_PAUSE
        yard.clock.advance(BROKEN_PAUSE)
        assert yard.actions.spawned == spawned + 1
        if number % 2:
            yard.supervisor.failed(NO_HERMES)
        yard.supervisor.died(CRASH)
        problem = NO_HERMES if number % 2 else CRASH
        assert yard.actions.states[told:] == [(BackendState.BROKEN, problem)]


def test_ready_after_broken(yard: Yard) -> None:
    """A worker that lives for some time after a fault was mended is restarted in haste again."""
    yard.supervisor.start()
    yard.supervisor.failed(NO_HERMES)
    yard.supervisor.died(NO_HERMES)
    yard.clock.advance(BROKEN_PAUSE)
    yard.supervisor.ready()
    yard.clock.advance(DEATHS_WINDOW)

    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.RESTARTING, CRASH)
    assert yard.pause == FIRST_PAUSE


def test_ready_and_dead_after_broken(yard: Yard) -> None:
    """A worker that dies as soon as it is ready is one death more within the minute."""
    yard.start()
    yard.die(MAX_DEATHS)
    yard.supervisor.ready()

    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.BROKEN, CRASH)
    assert yard.pause == BROKEN_PAUSE


def test_stop_while_trying_again(yard: Yard) -> None:
    """A stop ends the worker that was started although the last one was broken."""
    yard.start(ready=False)
    yard.die(MAX_DEATHS)

    yard.supervisor.stop()
    assert yard.actions.terminated == 1
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.STOPPED, None)
    yard.assert_silent()


def test_death_while_starting_can_be_the_fifth(yard: Yard) -> None:
    """A worker that never gets ready is broken after five attempts."""
    yard.start(ready=False)
    yard.die(MAX_DEATHS - 1)

    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.BROKEN, CRASH)


def test_refusal_is_broken_at_once(yard: Yard) -> None:
    """A worker that cannot serve Hermes is not started in haste; its own words are kept."""
    yard.supervisor.start()

    yard.supervisor.failed(NO_HERMES)
    assert yard.state == (BackendState.STARTING, None)
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.BROKEN, NO_HERMES)
    assert yard.pause == BROKEN_PAUSE


def test_refusal_again_and_again(yard: Yard) -> None:
    """A refusal that is also the fifth death is reported in the worker's words."""
    yard.supervisor.start()
    yard.die(MAX_DEATHS - 1)

    yard.supervisor.failed(NO_HERMES)
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.BROKEN, NO_HERMES)
    assert yard.pause == BROKEN_PAUSE


def test_refusal_can_be_mended(yard: Yard) -> None:
    """Half a minute after a refusal it is tried again: somebody may have installed Hermes."""
    yard.supervisor.start()
    yard.supervisor.failed(NO_HERMES)
    yard.supervisor.died(CRASH)

    yard.clock.advance(BROKEN_PAUSE)
    assert yard.actions.spawned == 2
    yard.supervisor.ready()

    assert yard.state == (BackendState.READY, None)


def test_stop_before_the_start(yard: Yard) -> None:
    """A supervisor that never started is stopped at once."""
    yard.supervisor.stop()

    assert yard.state == (BackendState.STOPPED, None)
    assert yard.actions.terminated == 0


@pytest.mark.parametrize("ready", [True, False])
def test_stop_ends_the_worker(yard: Yard, ready: bool) -> None:
    """A stop ends the worker and is done when that has died."""
    yard.start(ready=ready)

    yard.supervisor.stop()
    assert yard.actions.terminated == 1
    assert yard.state[0] is not BackendState.STOPPED
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.STOPPED, None)
    yard.assert_silent()


def test_stop_of_a_failing_worker(yard: Yard) -> None:
    """A worker that has refused and not yet died is ended, too."""
    yard.supervisor.start()
    yard.supervisor.failed(NO_HERMES)

    yard.supervisor.stop()
    yard.supervisor.died(CRASH)

    assert yard.actions.terminated == 1
    assert yard.state == (BackendState.STOPPED, None)
    yard.assert_silent()


@pytest.mark.parametrize("deaths", [1, MAX_DEATHS])
def test_stop_while_waiting(yard: Yard, deaths: int) -> None:
    """A stop between two attempts takes the timer back: nothing is started any more."""
    yard.start()
    yard.die(deaths - 1)
    yard.supervisor.died(CRASH)

    yard.supervisor.stop()

    assert yard.state == (BackendState.STOPPED, None)
    assert yard.actions.terminated == 0
    yard.assert_silent()


def test_reports_of_a_worker_that_is_being_ended(yard: Yard) -> None:
    """While it is being ended a worker may still say anything; one stop is enough."""
    yard.supervisor.start()
    yard.supervisor.stop()

    yard.supervisor.ready()
    yard.supervisor.failed(NO_HERMES)
    yard.supervisor.stop()
    assert yard.actions.terminated == 1
    assert yard.state == (BackendState.STARTING, None)
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.STOPPED, None)


def test_the_fifth_death_by_our_own_hand(yard: Yard) -> None:
    """A worker that dies of the stop is not called broken, however many died before."""
    yard.start(ready=False)
    yard.die(MAX_DEATHS - 1)

    yard.supervisor.stop()
    yard.supervisor.died(CRASH)

    assert yard.state == (BackendState.STOPPED, None)
    yard.assert_silent()


def test_stop_twice(yard: Yard) -> None:
    """A second stop changes nothing."""
    yard.start()
    yard.supervisor.stop()
    yard.supervisor.died(CRASH)

    yard.supervisor.stop()

    assert yard.actions.states.count((BackendState.STOPPED, None)) == 1


def test_problem_in_words() -> None:
    """A problem reads as one text: what is wrong, then what to do."""
    assert str(NO_HERMES) == "No Hermes. Install it."
