"""Ordered queues of jobs, run off the event loop by a bounded set of daemon threads.

A lane runs its jobs one at a time and in order, as upstream's socket handler
does for one client. Lanes run side by side. Urgent lanes have threads in
reserve, so that an interrupt gets through when every other thread is blocked in
a slow handler.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

Job = Callable[[], object]

#: Returned by a job that cannot run yet: the lane is parked, with the job first, until `resume`.
LATER: Final = object()

#: Threads of one pool, and how many of these only urgent lanes may use.
MAX_THREADS: Final = 64
RESERVED_THREADS: Final = 16
#: Seconds after which a thread without work ends.
IDLE_SECONDS: Final = 30.0
#: Jobs that a lane may run before it goes to the back of the queue.
TURN: Final = 64


class Lane:
    """An ordered queue of jobs. Made by `LanePool.lane`."""

    def __init__(self, pool: LanePool, urgent: bool) -> None:
        self._pool = pool
        self._jobs: deque[Job] = deque()
        self._scheduled = False
        self._parked = False
        self._resumed = False
        self.urgent = urgent

    def put(self, job: Job) -> None:
        """Run *job* after all earlier ones. Never blocks. The job must not raise."""
        self._pool._put(self, job)

    def resume(self) -> None:
        """Run a parked lane again."""
        self._pool._resume(self)

    def clear(self) -> int:
        """Forget the jobs that have not begun. Returns their number."""
        return self._pool._clear(self)

    @property
    def waits(self) -> bool:
        """Whether a job waits that has not begun."""
        return bool(self._jobs)


class LanePool:
    """The threads that run lanes: daemons, started on demand, *limit* in all.

    Daemons, because a handler may be busy for minutes and must not keep the
    process from exiting. *reserve* of the threads serve urgent lanes only. A
    thread that finds no work for *idle* seconds ends.
    """

    def __init__(
        self,
        *,
        limit: int = MAX_THREADS,
        reserve: int = RESERVED_THREADS,
        idle: float = IDLE_SECONDS,
        name: str = "hermes-lane",
    ) -> None:
        if not 0 <= reserve < limit:
            raise ValueError("the reserve must leave at least one thread for ordinary lanes")
        self._limit = limit
        self._ordinary_limit = limit - reserve
        self._idle_seconds = idle
        self._name = name
        self._lock = threading.Lock()
        self._quiet = threading.Condition(self._lock)
        self._ready: deque[Lane] = deque()
        self._ready_urgent: deque[Lane] = deque()
        self._idle: list[_IdleThread] = []
        self._waking = False
        self._threads = 0
        self._busy = 0
        self._ordinary_busy = 0

    def lane(self, *, urgent: bool = False) -> Lane:
        """Return a new, empty lane."""
        return Lane(self, urgent)

    @property
    def threads(self) -> int:
        """The number of threads."""
        return self._threads

    def wait_quiet(self, timeout: float) -> bool:
        """Block until no job runs or waits. False if that takes longer than *timeout* seconds."""
        with self._lock:
            return self._quiet.wait_for(self._is_quiet, timeout)

    def _put(self, lane: Lane, job: Job) -> None:
        with self._lock:
            lane._jobs.append(job)
            if not lane._scheduled:
                lane._scheduled = True
                self._schedule(lane)

    def _resume(self, lane: Lane) -> None:
        with self._lock:
            if lane._parked:
                lane._parked = False
                self._schedule(lane)
            else:
                lane._resumed = True  # Perhaps while a job is finding out that it cannot run.

    def _clear(self, lane: Lane) -> int:
        with self._lock:
            count = len(lane._jobs)
            lane._jobs.clear()
            if lane._parked:
                lane._parked = lane._scheduled = False
            return count

    # The rest is called with the lock held, except where it says otherwise.

    def _schedule(self, lane: Lane) -> None:
        (self._ready_urgent if lane.urgent else self._ready).append(lane)
        self._wake()

    def _wake(self) -> None:
        """Wake or start one thread if a lane is ready that it may run.

        One at a time: the woken thread wakes the next. While jobs are short, few threads
        then run many lanes, instead of many threads waiting for the interpreter.
        """
        if self._waking or not self._may_begin():
            return
        if self._idle:
            # The one that became idle last, so that the others can time out.
            self._waking = True
            rest = self._idle.pop()
            rest.called = True
            rest.bell.release()
        elif self._threads < self._limit:
            self._waking = True
            self._threads += 1
            try:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            except RuntimeError:  # No more threads: a running one takes the lane later.
                self._waking = False
                self._threads -= 1
                if not self._threads:
                    raise

    def _may_begin(self) -> bool:
        return bool(
            self._ready_urgent or (self._ready and self._ordinary_busy < self._ordinary_limit)
        )

    def _occupy(self, lane: Lane) -> Lane:
        self._busy += 1
        self._ordinary_busy += not lane.urgent
        return lane

    def _vacate(self, lane: Lane) -> None:
        self._busy -= 1
        self._ordinary_busy -= not lane.urgent
        if self._is_quiet():
            self._quiet.notify_all()

    def _is_quiet(self) -> bool:
        return not (self._busy or self._ready or self._ready_urgent)

    def _next(self) -> Lane | None:
        if self._ready_urgent:
            lane = self._occupy(self._ready_urgent.popleft())
            self._wake()  # An ordinary lane may be ready, too.
            return lane
        if self._ready and self._ordinary_busy < self._ordinary_limit:
            return self._occupy(self._ready.popleft())
        return None

    def _run(self) -> None:
        """Run lanes until none is ready for the idle time. Takes the lock itself."""
        lane = self._first_lane()
        while lane is not None:
            jobs = 0
            while (job := self._next_job(lane, jobs < TURN)) is not None:
                if job() is LATER and self._park(lane, job):
                    break
                jobs += 1
            lane = self._next_lane()

    def _next_job(self, lane: Lane, go_on: bool) -> Job | None:
        """Return the lane's next job; None when it is empty or has had its turn. Takes the lock."""
        with self._lock:
            if lane._jobs and (go_on or not self._others_wait()):
                lane._resumed = False
                return lane._jobs.popleft()
            if lane._jobs:
                (self._ready_urgent if lane.urgent else self._ready).append(lane)
            else:
                lane._scheduled = False
            self._vacate(lane)
            return None

    def _park(self, lane: Lane, job: Job) -> bool:
        """Put *job* back. True if the lane is parked, False if `resume` came meanwhile.

        Takes the lock.
        """
        with self._lock:
            lane._jobs.appendleft(job)
            lane._parked = not lane._resumed
            if lane._parked:
                self._vacate(lane)
            return lane._parked

    def _others_wait(self) -> bool:
        return bool(self._ready or self._ready_urgent)

    def _first_lane(self) -> Lane | None:
        """Return the first lane of a new thread. Takes the lock."""
        with self._lock:
            lane = self._arrive()
        return lane if lane is not None else self._next_lane()

    def _arrive(self) -> Lane | None:
        """Return the lane for a thread that was woken, if one is still ready; wake the next."""
        self._waking = False
        lane = self._next()
        self._wake()
        return lane

    def _next_lane(self) -> Lane | None:
        """Wait for the next lane. None if the idle time is over. Takes the lock."""
        while True:
            with self._lock:
                lane = self._next()
                if lane is not None:
                    return lane
                rest = _IdleThread()
                self._idle.append(rest)
            rung = rest.bell.acquire(timeout=self._idle_seconds)
            with self._lock:
                if not (rung or rest.called):
                    self._idle.remove(rest)
                    self._threads -= 1
                    return None
                # Woken, perhaps in the moment in which the wait ended.
                lane = self._arrive()
            if lane is not None:
                return lane


class _IdleThread:
    """An idle thread, and the lock that wakes it."""

    __slots__ = ("bell", "called")

    def __init__(self) -> None:
        self.bell = threading.Lock()
        self.bell.acquire()
        self.called = False
