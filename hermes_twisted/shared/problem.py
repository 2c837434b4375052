"""The exception for everything that an operator can mend."""

from __future__ import annotations


class Problem(Exception):
    """A problem that an operator can mend: `what` is wrong, and `advice`.

    It never contains a secret. Problems with the same texts are equal.
    """

    def __init__(self, what: str, advice: str = "") -> None:
        super().__init__(what, advice)
        self.what = what
        self.advice = advice

    def __str__(self) -> str:
        return f"{self.what} {self.advice}".strip()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Problem):
            return NotImplemented
        return (self.what, self.advice) == (other.what, other.advice)

    def __hash__(self) -> int:
        return hash((self.what, self.advice))
