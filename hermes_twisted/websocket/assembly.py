"""A message of a client in the making, within its limits."""

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


class Assembly:
    """The bytes, inflated, of the one unfinished message of a connection.

    Empty fragments cost no bytes, so fragments are counted; the bytes are taken from
    the *budget* of all clients and given back when the message is finished or dropped.
    """

    def __init__(self, max_fragments: int, budget: Budget) -> None:
        self._max_fragments = max_fragments
        self._budget = budget
        self._fragments = 0
        self._text = bytearray()

    def __len__(self) -> int:
        return len(self._text)

    @property
    def left(self) -> int:
        """How many more bytes the budget allows."""
        return self._budget.left

    def begin(self) -> None:
        """A message begins."""
        self.drop()
        self._fragments = 0

    def fragment(self) -> bool:
        """A fragment begins; False if it is one too many."""
        self._fragments += 1
        return self._fragments <= self._max_fragments

    def add(self, payload: bytes) -> bool:
        """More of it; False, and it is left out, if that exceeds the budget."""
        if not self._budget.take(len(payload)):
            return False
        self._text += payload
        return True

    def finish(self) -> bytes:
        """The whole message."""
        text = bytes(self._text)
        self.drop()
        return text

    def drop(self) -> None:
        """Forget what there is."""
        self._budget.give_back(len(self._text))
        self._text = bytearray()
