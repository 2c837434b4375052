"""The queue of an outbox: frames for one client, in order, with their total size."""

from __future__ import annotations

from collections import deque
from typing import Final

#: A frame that must arrive.
EVENT: Final = 1
#: A frame that may be shed, because a later one repeats its text.
DELTA: Final = 2
#: A frame that answers the request with its tag.
ANSWER: Final = 3
#: A note of the worker to the front, in order with the frames; not for the client.
NOTE: Final = 4

#: A queued frame: kind, tag, JSON text. A plain tuple, for speed: there is one for every token.
Item = tuple[int, int, bytes]


class FrameQueue:
    """An ordered queue of frames. Not thread-safe: the outbox has the lock."""

    __slots__ = ("_items", "position", "size")

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.size = 0
        """Bytes in the queue."""
        self.position = 0
        """The position of the frame that was taken last: how many were taken so far.

        Frames that are shed, and notes, have no position.
        """

    def __len__(self) -> int:
        return len(self._items)

    def append(self, kind: int, tag: int, data: bytes) -> None:
        """Add one frame at the end."""
        self._items.append((kind, tag, data))
        self.size += len(data)

    def take(self, budget: int) -> list[Item]:
        """Remove and return frames from the front, until *budget* bytes are reached.

        The last one may exceed the budget, so that a large frame is never stuck. A note is taken
        together with the frame before it.
        """
        items = self._items
        taken: list[Item] = []
        size = notes = 0
        while items and (size < budget or items[0][0] == NOTE):
            item = items.popleft()
            size += len(item[2])
            notes += item[0] == NOTE
            taken.append(item)
        self.size -= size
        self.position += len(taken) - notes
        return taken

    def drop_deltas(self) -> int:
        """Remove all deltas, and return their number."""
        kept = deque(item for item in self._items if item[0] != DELTA)
        dropped = len(self._items) - len(kept)
        self._items = kept
        self.size = sum(len(item[2]) for item in kept)
        return dropped

    def clear(self) -> None:
        """Remove all frames."""
        self._items.clear()
        self.size = 0
