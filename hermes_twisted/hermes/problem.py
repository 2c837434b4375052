"""Why Hermes cannot be served, in words for its operator."""

from __future__ import annotations


class HostProblem(Exception):
    """Hermes cannot be served: what is wrong, and what to do about it."""

    def __init__(self, problem: str, advice: str) -> None:
        super().__init__(f"{problem} {advice}")
        self.problem = problem
        self.advice = advice
