"""Assembles a message of a client from fragments, within limits."""

from __future__ import annotations


class Budget:
    """A limit of bytes that several assemblies share."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0

    @property
    def left(self) -> int:
        """Bytes that can still be taken."""
        return self._limit - self._taken

    def take(self, size: int) -> bool:
        """Take *size* bytes; if fewer are left, take none and return False."""
        if size > self.left:
            return False
        self._taken += size
        return True

    def give_back(self, size: int) -> None:
        """Free *size* bytes that were taken."""
        self._taken -= size


class Assembly:
    """The incomplete message of one connection, inflated. `len` is its size in bytes.

    Its bytes are taken from the *budget* of all connections, and given back when it is complete or
    dropped. The number of fragments is limited, too, because empty ones take no bytes.
    """

    __slots__ = ("_budget", "_fragments", "_max_fragments", "_text")

    def __init__(self, max_fragments: int, budget: Budget) -> None:
        self._max_fragments = max_fragments
        self._budget = budget
        self._fragments = 0
        self._text = bytearray()

    def __len__(self) -> int:
        return len(self._text)

    @property
    def left(self) -> int:
        """Bytes that are left in the budget."""
        return self._budget.left

    def begin(self) -> None:
        """Begin a message; drop an incomplete one."""
        self.drop()
        self._fragments = 0

    def fragment(self) -> bool:
        """Count a fragment; return False if it is one too many."""
        self._fragments += 1
        return self._fragments <= self._max_fragments

    def add(self, payload: bytes) -> bool:
        """Append *payload*; if the budget does not allow it, append nothing and return False."""
        if not self._budget.take(len(payload)):
            return False
        self._text += payload
        return True

    def finish(self) -> bytes:
        """Return the complete message, and begin an empty one."""
        text = bytes(self._text)
        self.drop()
        return text

    def drop(self) -> None:
        """Drop the incomplete message."""
        self._budget.give_back(len(self._text))
        self._text = bytearray()
