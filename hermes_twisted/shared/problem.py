"""When the worker is started, started again, or left alone for a while.

A state machine without IO: whoever drives it reports what happened, and it says
what to do through `Crew`. Five deaths within a minute are taken for a fault that
another start will not mend: the service then stays up, says why, and tries again
every half a minute until a worker gets ready.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """What is wrong, and what to do about it."""

    problem: str
    advice: str

    def __str__(self) -> str:
        return f"{self.problem} {self.advice}"
