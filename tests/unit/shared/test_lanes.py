from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from hermes_twisted.shared import lanes
from hermes_twisted.shared.lanes import LATER, TURN, LanePool

#: Only a broken pool makes a test wait that long.
GUARD = 60.0


def quiet(pool: LanePool) -> None:
    assert pool.wait_quiet(GUARD), "the pool is stuck"


def wait(event: threading.Event) -> None:
    assert event.wait(GUARD), "what was waited for did not happen"


def void(_: object) -> None:
    """Make a job of a call that returns something."""


class Gate:
    """A job that begins, says so, and ends when it is opened."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()

    def __call__(self) -> None:
        self.begun.set()
        wait(self.open)


def rest_signalling(monkeypatch: pytest.MonkeyPatch) -> threading.Semaphore:
    """A semaphore that is released each time a thread of any pool goes to rest."""
    resting = threading.Semaphore(0)

    class Wakeup:
        def __init__(self) -> None:
            self._lock = threading.Lock()
            self._lock.acquire()
            self.release = self._lock.release

        def acquire(self, *, timeout: float) -> bool:
            resting.release()
            return self._lock.acquire(timeout=timeout)

    class Idle:
        def __init__(self) -> None:
            self.wakeup = Wakeup()
            self.woken = False

    monkeypatch.setattr(lanes, "_IdleThread", Idle)
    return resting


def test_jobs_run_in_order() -> None:
    """A lane's jobs run in the order in which they were put."""
    pool, ran = LanePool(limit=4, reserve=1), []
    lane = pool.lane()

    for number in range(300):
        lane.put(lambda number=number: ran.append(number))  # type: ignore[misc]
    quiet(pool)

    assert ran == list(range(300))


def test_one_at_a_time() -> None:
    """A lane's next job does not begin before the last one has ended."""
    pool, gate, second = LanePool(limit=4, reserve=1), Gate(), threading.Event()
    lane, other = pool.lane(), pool.lane()
    elsewhere = threading.Event()

    lane.put(gate)
    lane.put(second.set)
    wait(gate.begun)
    other.put(elsewhere.set)
    wait(elsewhere)

    assert not second.is_set()
    gate.open.set()
    wait(second)


def test_lanes_run_side_by_side() -> None:
    """Jobs of different lanes run at the same time."""
    pool, meeting = LanePool(limit=3, reserve=0), threading.Barrier(4)

    for _ in range(3):
        pool.lane().put(lambda: void(meeting.wait(GUARD)))
    meeting.wait(GUARD)

    quiet(pool)


def test_urgent_gets_through() -> None:
    """An urgent job runs while all ordinary threads are blocked."""
    pool, gates = LanePool(limit=4, reserve=1), [Gate() for _ in range(5)]
    for gate in gates:
        pool.lane().put(gate)
    for gate in gates[:3]:
        wait(gate.begun)
    interrupt = threading.Event()

    pool.lane(urgent=True).put(interrupt.set)

    wait(interrupt)
    for gate in gates:
        gate.open.set()
    quiet(pool)


def test_reserve_is_kept_from_ordinary_lanes(monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary job waits rather than take an idle thread of the reserve."""
    resting = rest_signalling(monkeypatch)
    pool, gate, late = LanePool(limit=2, reserve=1, idle=GUARD), Gate(), threading.Event()
    pool.lane().put(gate)
    wait(gate.begun)
    pool.lane(urgent=True).put(lambda: None)
    assert resting.acquire(timeout=GUARD)

    pool.lane().put(late.set)
    pool.lane(urgent=True).put(lambda: None)
    assert resting.acquire(timeout=GUARD)

    assert pool.threads == 2
    assert not late.is_set()
    gate.open.set()
    wait(late)


def test_threads_are_limited() -> None:
    """However many lanes have work, there are no more threads than the limit."""
    pool, gates = LanePool(limit=3, reserve=0), [Gate() for _ in range(10)]
    for gate in gates:
        pool.lane().put(gate)
    for gate in gates[:3]:
        wait(gate.begun)

    assert pool.threads == 3
    for gate in gates:
        gate.open.set()
    quiet(pool)
    assert all(gate.begun.is_set() for gate in gates)


def test_short_jobs_of_many_lanes_need_few_threads() -> None:
    """One thread is roused at a time: the lanes that come before it has arrived wait for it."""
    pool, ran = LanePool(), list[int]()
    with pool._lock:  # The first thread cannot arrive yet.
        for number in range(20):
            lane = pool.lane()
            lane.jobs.append(lambda number=number: ran.append(number))  # type: ignore[misc]
            lane.scheduled = True
            pool._schedule(lane)
        assert pool.threads == 1
    quiet(pool)

    assert sorted(ran) == list(range(20))


def test_blocked_jobs_do_not_keep_other_lanes_waiting() -> None:
    """Whoever was roused has the next thread roused before it runs anything."""
    pool, gates = LanePool(), [Gate() for _ in range(8)]
    for gate in gates:
        pool.lane().put(gate)
    for gate in gates:
        wait(gate.begun)

    assert pool.threads == 8
    for gate in gates:
        gate.open.set()
    quiet(pool)


def test_a_new_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's limit: whoever runs takes the lane over when it is done."""
    pool, gate, ran = LanePool(), Gate(), threading.Event()
    pool.lane().put(gate)
    wait(gate.begun)

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    pool.lane().put(ran.set)
    assert pool.threads == 1
    gate.open.set()
    quiet(pool)

    assert ran.is_set()


def test_without_any_thread_it_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody would ever run the lane."""
    pool = LanePool()

    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(RuntimeError):
        pool.lane().put(lambda: None)
    assert pool.threads == 0


def test_threads_are_made_on_demand() -> None:
    """A pool without work has no threads, and one lane needs one."""
    pool = LanePool()
    assert pool.threads == 0
    lane, gate = pool.lane(), Gate()

    lane.put(gate)
    lane.put(lambda: None)

    assert pool.threads == 1
    gate.open.set()
    quiet(pool)


def test_idle_thread_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resting thread gets the next work before a new one is started."""
    resting = rest_signalling(monkeypatch)
    pool, used = LanePool(limit=8, reserve=0, idle=GUARD), []
    for _ in range(3):
        pool.lane().put(lambda: used.append(threading.get_ident()))
        assert resting.acquire(timeout=GUARD)

    assert len(used) == 3
    assert len(set(used)) == 1
    assert pool.threads == 1


def test_idle_thread_ends() -> None:
    """A thread without work for the idle time ends, and another is started when needed."""
    pool = LanePool(limit=8, reserve=0, idle=0.0, name="test-idle-lane")
    ran = []
    for number in range(2):
        pool.lane().put(lambda number=number: ran.append(number))  # type: ignore[misc]
        quiet(pool)
        for thread in threading.enumerate():
            if thread.name == "test-idle-lane":
                thread.join(GUARD)
        assert pool.threads == 0

    assert ran == [0, 1]


def test_work_in_the_moment_of_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    """A lane that is handed to a thread just as its idle time ends is run all the same."""
    pool = LanePool(limit=1, reserve=0)
    ran = threading.Event()
    in_that_moment: list[Callable[[], None]] = [lambda: pool.lane().put(ran.set)]

    class Wakeup:
        def acquire(self, *, timeout: float) -> bool:
            if in_that_moment:
                in_that_moment.pop()()
            return False  # The time is up.

        def release(self) -> None:
            pass

    class Idle:
        def __init__(self) -> None:
            self.wakeup = Wakeup()
            self.woken = False

    monkeypatch.setattr(lanes, "_IdleThread", Idle)
    pool.lane().put(lambda: None)

    wait(ran)
    quiet(pool)


def test_a_long_lane_takes_turns() -> None:
    """After its turn a lane with more work goes behind the lanes that wait."""
    pool, gate, ran = LanePool(limit=1, reserve=0), Gate(), []
    long, short = pool.lane(), pool.lane()
    long.put(gate)
    wait(gate.begun)
    for number in range(1, TURN + 10):
        long.put(lambda number=number: ran.append(number))  # type: ignore[misc]
    short.put(lambda: ran.append(0))

    gate.open.set()
    quiet(pool)

    assert ran == [*range(1, TURN), 0, *range(TURN, TURN + 10)]


def test_an_urgent_lane_takes_turns_with_urgent_ones() -> None:
    """An urgent lane that has had its turn stays ahead of the ordinary ones."""
    pool, gate, ran = LanePool(limit=1, reserve=0), Gate(), []
    long, other, ordinary = pool.lane(urgent=True), pool.lane(urgent=True), pool.lane()
    long.put(gate)
    wait(gate.begun)
    for _ in range(TURN):
        long.put(lambda: ran.append("long"))
    ordinary.put(lambda: ran.append("ordinary"))
    other.put(lambda: ran.append("other"))

    gate.open.set()
    quiet(pool)

    assert ran == ["long"] * (TURN - 1) + ["other", "long", "ordinary"]


def test_a_lone_lane_goes_on() -> None:
    """A lane that keeps nobody waiting runs on beyond its turn, on the same thread."""
    pool, gate, ran = LanePool(limit=2, reserve=0), Gate(), []
    lane = pool.lane()
    lane.put(gate)
    for _ in range(TURN * 2):
        lane.put(lambda: ran.append(threading.get_ident()))

    gate.open.set()
    quiet(pool)

    assert len(ran) == TURN * 2
    assert len(set(ran)) == 1


def test_urgent_lanes_are_served_first() -> None:
    """When a thread becomes free an urgent lane is next, though it came last."""
    pool, gate, ran = LanePool(limit=1, reserve=0), Gate(), []
    pool.lane().put(gate)
    wait(gate.begun)
    pool.lane().put(lambda: ran.append("ordinary"))
    pool.lane(urgent=True).put(lambda: ran.append("urgent"))

    gate.open.set()
    quiet(pool)

    assert ran == ["urgent", "ordinary"]


def test_clear() -> None:
    """Clearing forgets what has not begun, says how much, and leaves the lane usable."""
    pool, gate, ran = LanePool(limit=1, reserve=0), Gate(), []
    lane = pool.lane()
    lane.put(gate)
    wait(gate.begun)
    lane.put(lambda: ran.append("forgotten"))
    lane.put(lambda: ran.append("forgotten"))

    assert lane.clear() == 2
    assert lane.clear() == 0
    lane.put(lambda: ran.append("later"))
    gate.open.set()
    quiet(pool)

    assert ran == ["later"]


def test_cleared_in_the_queue() -> None:
    """A lane that is cleared while it waits for a thread does not keep the pool from resting."""
    pool, gate, ran = LanePool(limit=1, reserve=0), Gate(), []
    waiting = pool.lane()
    pool.lane().put(gate)
    wait(gate.begun)
    waiting.put(lambda: ran.append("forgotten"))

    waiting.clear()
    gate.open.set()
    quiet(pool)
    waiting.put(lambda: ran.append("later"))
    quiet(pool)

    assert ran == ["later"]


def test_wait_quiet_gives_up() -> None:
    """While a job runs, waiting ends with False when the time is up."""
    pool, gate = LanePool(limit=2, reserve=0), Gate()
    assert pool.wait_quiet(0)
    pool.lane().put(gate)
    wait(gate.begun)

    assert not pool.wait_quiet(0)
    gate.open.set()
    quiet(pool)


def test_not_quiet_while_a_lane_waits() -> None:
    """Work that waits for a thread counts as well as work that runs."""
    pool, first, second = LanePool(limit=1, reserve=0), Gate(), Gate()
    pool.lane().put(first)
    wait(first.begun)
    pool.lane(urgent=True).put(second)
    first.open.set()
    wait(second.begun)

    assert not pool.wait_quiet(0)
    second.open.set()
    quiet(pool)


def test_threads_are_daemons() -> None:
    """A blocked handler does not keep the process from exiting, and its thread has a name."""
    seen: list[threading.Thread] = []
    pool = LanePool(name="lane-of-mine")
    pool.lane().put(lambda: seen.append(threading.current_thread()))
    quiet(pool)

    assert seen[0].daemon
    assert seen[0].name == "lane-of-mine"


@pytest.mark.parametrize(("limit", "reserve"), [(1, 1), (2, 3), (2, -1), (0, 0)])
def test_reserve_leaves_room(limit: int, reserve: int) -> None:
    """A reserve that leaves no thread for ordinary lanes is refused."""
    with pytest.raises(ValueError, match="at least one thread"):
        LanePool(limit=limit, reserve=reserve)


def test_many_lanes() -> None:
    """With more lanes than threads every job of every lane runs once, in order."""
    pool = LanePool(limit=3, reserve=1, idle=0.0)
    ran: dict[int, list[int]] = {}

    def job(name: int, number: int) -> Callable[[], None]:
        return lambda: ran.setdefault(name, []).append(number)

    all_lanes = [pool.lane(urgent=name % 4 == 0) for name in range(20)]
    for number in range(100):
        for name, lane in enumerate(all_lanes):
            lane.put(job(name, number))
    quiet(pool)

    assert ran == {name: list(range(100)) for name in range(20)}
    assert pool.threads <= 3


class Waiting:
    """A job that cannot run until it may."""

    def __init__(self, ran: list[str], name: str) -> None:
        self.may = False
        self.tried = 0
        self._ran = ran
        self._name = name

    def __call__(self) -> object:
        self.tried += 1
        if not self.may:
            return LATER
        self._ran.append(self._name)
        return None


def test_a_job_that_waits_keeps_the_order() -> None:
    """What cannot run yet stays first: its lane stands still, and holds no thread."""
    pool, ran = LanePool(limit=1, reserve=0), list[str]()
    lane, other, waiting = pool.lane(), pool.lane(), Waiting(ran, "first")
    lane.put(waiting)
    lane.put(lambda: ran.append("second"))
    quiet(pool)
    other.put(lambda: ran.append("other"))
    quiet(pool)
    assert (ran, lane.waits) == (["other"], True)

    lane.resume()
    quiet(pool)
    assert (ran, waiting.tried) == (["other"], 2)

    waiting.may = True
    lane.resume()
    quiet(pool)
    assert ran == ["other", "first", "second"]
    assert not lane.waits


def test_resumed_while_it_decides_to_wait() -> None:
    """What a job waits for may come in the moment in which it finds that it is not there."""
    pool, ran = LanePool(limit=1, reserve=0), list[str]()
    lane, waiting = pool.lane(), Waiting(ran, "ran")

    def job() -> object:
        outcome = waiting()
        waiting.may = True
        lane.resume()
        return outcome

    lane.put(job)
    quiet(pool)

    assert (ran, waiting.tried) == (["ran"], 2)


def test_an_early_resume_changes_nothing() -> None:
    """A resume before a job begins is not one for that job."""
    pool, ran = LanePool(limit=1, reserve=0), list[str]()
    lane, waiting = pool.lane(), Waiting(ran, "ran")
    lane.resume()

    lane.put(waiting)
    quiet(pool)

    assert waiting.tried == 1


def test_clear_frees_a_lane_that_stands_still() -> None:
    """After a clear the lane runs what comes next, though what it waited for never came."""
    pool, ran = LanePool(limit=1, reserve=0), list[str]()
    lane = pool.lane()
    lane.put(Waiting(ran, "never"))
    quiet(pool)

    assert lane.clear() == 1
    lane.put(lambda: ran.append("next"))
    quiet(pool)

    assert ran == ["next"]
