"""The frames that wait for one client: in order, counted in bytes, with positions."""

from __future__ import annotations

from collections import deque
from typing import Final

#: A frame that must arrive.
EVENT: Final = 1
#: A display-only frame: a later one carries the whole text, so it may be shed.
DELTA: Final = 2
#: A frame that answers the request whose tag it bears.
ANSWER: Final = 3
#: Not for the client: a note of the worker to the front, in its place among the frames.
NOTE: Final = 4

#: One frame on its way to the client: kind, tag, JSON text. A plain tuple,
#: because one is made for every model token.
Item = tuple[int, int, bytes]


class FrameQueue:
    """An ordered store of frames. Not thread-safe: its owner holds a lock."""

    __slots__ = ("_items", "position", "size")

    def __init__(self) -> None:
        self._items: deque[Item] = deque()
        self.size = 0
        """Bytes that wait."""
        self.position = 0
        """The position of the frame that was taken last: how many have left so far.

        Frames are numbered when they leave, so a frame that is shed has no number, and
        notes have none either.
        """

    def __len__(self) -> int:
        return len(self._items)

    def append(self, kind: int, tag: int, data: bytes) -> None:
        """Add one frame at the end."""
        self._items.append((kind, tag, data))
        self.size += len(data)

    def take(self, budget: int) -> list[Item]:
        """Remove frames from the front until they make *budget* bytes or none is left.

        The last one may exceed the budget, so a large frame is never stuck; a note goes
        with the frame before it.
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
        """Remove every delta; returns how many there were."""
        kept = deque(item for item in self._items if item[0] != DELTA)
        dropped = len(self._items) - len(kept)
        self._items = kept
        self.size = sum(len(item[2]) for item in kept)
        return dropped

    def clear(self) -> None:
        """Remove every frame."""
        self._items.clear()
        self.size = 0
