"""Lanes: ordered queues of jobs, run off the event loop by a limited number of daemon threads.

A lane runs its jobs one at a time and in order, as Hermes' own WebSocket handler does for one
client. Lanes run in parallel. Some threads are reserved for urgent lanes, so that an interrupt runs
while all other threads are blocked in slow handlers.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Final

Job = Callable[[], object]

#: The result of a job that cannot run yet. Its lane is parked until `resume`, then runs it again.
LATER: Final = object()

#: The default number of threads of a pool, and how many of them are reserved for urgent lanes.
MAX_THREADS: Final = 64
RESERVED_THREADS: Final = 16
#: Seconds after which a thread without work ends.
IDLE_SECONDS: Final = 30.0
#: Jobs that a lane runs before other ready lanes get a turn.
TURN: Final = 64


class Lane:
    """An ordered queue of jobs. Made by `LanePool.lane`.

    The attributes are the pool's: it changes them under its lock.
    """

    def __init__(self, pool: LanePool, urgent: bool) -> None:
        self._pool = pool
        self.urgent = urgent
        self.jobs: deque[Job] = deque()
        """The jobs that have not begun."""
        self.scheduled = False
        """Whether the lane is ready, runs or is parked."""
        self.parked = False
        self.resumed = False
        """Whether `resume` was called since the current job began."""

    def put(self, job: Job) -> None:
        """Run *job*, which must not raise, after all earlier ones. Never blocks."""
        self._pool.put(self, job)

    def resume(self) -> None:
        """Run the lane again if it is parked."""
        self._pool.resume(self)

    def clear(self) -> int:
        """Remove the jobs that have not begun, and return their number."""
        return self._pool.clear(self)

    @property
    def waits(self) -> bool:
        """Whether there are jobs that have not begun."""
        return bool(self.jobs)


class LanePool:
    """Runs lanes on up to *limit* daemon threads, which are started on demand.

    *reserve* of the threads run urgent lanes only. A thread without work for *idle* seconds ends.
    Daemon threads do not keep the process from exiting while a handler runs for minutes.
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
        """The number of running threads."""
        return self._threads

    def wait_quiet(self, timeout: float) -> bool:
        """Block until no job runs or waits; return False after *timeout* seconds."""
        with self._lock:
            return self._quiet.wait_for(self._is_quiet, timeout)

    # Called by `Lane`.

    def put(self, lane: Lane, job: Job) -> None:
        """Append *job* to *lane*."""
        with self._lock:
            lane.jobs.append(job)
            if not lane.scheduled:
                lane.scheduled = True
                self._schedule(lane)

    def resume(self, lane: Lane) -> None:
        """Schedule *lane* if it is parked; otherwise it will not park for its current job."""
        with self._lock:
            if lane.parked:
                lane.parked = False
                self._schedule(lane)
            else:
                lane.resumed = True  # A job may be about to return `LATER`.

    def clear(self, lane: Lane) -> int:
        """Remove the jobs of *lane* that have not begun, and return their number."""
        with self._lock:
            count = len(lane.jobs)
            lane.jobs.clear()
            if lane.parked:
                lane.parked = lane.scheduled = False
            return count

    # Call the following with the lock held, unless they take the lock themselves.

    def _schedule(self, lane: Lane) -> None:
        """Put *lane* at the end of the ready lanes."""
        (self._ready_urgent if lane.urgent else self._ready).append(lane)
        self._wake()

    def _wake(self) -> None:
        """Wake or start one thread if a lane is ready that it may run.

        The woken thread wakes the next one. So, while jobs are short, a few threads run many lanes,
        instead of many threads that wait for the interpreter's lock.
        """
        if self._waking or not self._may_begin():
            return
        if self._idle:
            # The one that became idle last, so that the others time out.
            self._waking = True
            thread = self._idle.pop()
            thread.woken = True
            thread.wakeup.release()
        elif self._threads < self._limit:
            self._waking = True
            self._threads += 1
            try:
                threading.Thread(target=self._run, name=self._name, daemon=True).start()
            except (
                RuntimeError
            ):  # No more threads are possible: a running one takes the lane later.
                self._waking = False
                self._threads -= 1
                if not self._threads:
                    raise

    def _may_begin(self) -> bool:
        """Return whether a ready lane may run."""
        return bool(
            self._ready_urgent or (self._ready and self._ordinary_busy < self._ordinary_limit)
        )

    def _begin(self, lane: Lane) -> Lane:
        """Count a thread as busy with *lane*."""
        self._busy += 1
        self._ordinary_busy += not lane.urgent
        return lane

    def _end(self, lane: Lane) -> None:
        """Count a thread as no longer busy with *lane*."""
        self._busy -= 1
        self._ordinary_busy -= not lane.urgent
        if self._is_quiet():
            self._quiet.notify_all()

    def _is_quiet(self) -> bool:
        return not (self._busy or self._ready or self._ready_urgent)

    def _next(self) -> Lane | None:
        """Begin the next lane that may run, None if there is none."""
        if self._ready_urgent:
            lane = self._begin(self._ready_urgent.popleft())
            self._wake()  # An ordinary lane may be ready, too.
            return lane
        if self._ready and self._ordinary_busy < self._ordinary_limit:
            return self._begin(self._ready.popleft())
        return None

    def _run(self) -> None:
        """Run lanes until none is ready for the idle time. Takes the lock."""
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
            if lane.jobs and (go_on or not self._others_wait()):
                lane.resumed = False
                return lane.jobs.popleft()
            if lane.jobs:
                (self._ready_urgent if lane.urgent else self._ready).append(lane)
            else:
                lane.scheduled = False
            self._end(lane)
            return None

    def _park(self, lane: Lane, job: Job) -> bool:
        """Put *job* back. True if the lane is parked, False if `resume` came meanwhile.

        Takes the lock.
        """
        with self._lock:
            lane.jobs.appendleft(job)
            lane.parked = not lane.resumed
            if lane.parked:
                self._end(lane)
            return lane.parked

    def _others_wait(self) -> bool:
        return bool(self._ready or self._ready_urgent)

    def _first_lane(self) -> Lane | None:
        """Return the first lane of a new thread. Takes the lock."""
        with self._lock:
            lane = self._after_wake()
        return lane if lane is not None else self._next_lane()

    def _after_wake(self) -> Lane | None:
        """Begin a lane in a thread that was woken, if one is still ready; wake the next thread."""
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
                thread = _IdleThread()
                self._idle.append(thread)
            acquired = thread.wakeup.acquire(timeout=self._idle_seconds)
            with self._lock:
                if not (acquired or thread.woken):
                    self._idle.remove(thread)
                    self._threads -= 1
                    return None
                # Woken, possibly just after the wait timed out.
                lane = self._after_wake()
            if lane is not None:
                return lane


class _IdleThread:
    """An idle thread: it waits for `wakeup`, which is released to wake it."""

    __slots__ = ("wakeup", "woken")

    def __init__(self) -> None:
        self.wakeup = threading.Lock()
        self.wakeup.acquire()
        self.woken = False
