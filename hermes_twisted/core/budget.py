"""Bytes that many share."""

from __future__ import annotations


class Budget:
    """At most *limit* bytes in all; each holder gives back what it took."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @property
    def left(self) -> int:
        """How many bytes nobody has taken."""
        return self._limit - self._taken

    def take(self, size: int) -> bool:
        """Take *size* bytes; False, and nothing is taken, if there are not so many."""
        if size > self.left:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """*size* bytes are free again."""
        self._taken -= size
