"""Many chunks in few writes: what both ends of the worker's socket go by."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

#: Seconds without a write after which a single one is made at once: it is there a turn of a
#: loop or a thread's switch sooner. In a burst, chunks are gathered for larger writes.
CALM: Final = 0.0002
#: Larger chunks are written by themselves: to join them with others would copy them.
LARGE: Final = 64 * 1024


def batches(chunks: Iterable[bytes]) -> list[bytes]:
    """*chunks* joined, but for large ones, and in order."""
    found: list[bytes] = []
    small: list[bytes] = []
    for chunk in chunks:
        if len(chunk) > LARGE:
            if small:
                found.append(b"".join(small))
                small = []
            found.append(chunk)
        else:
            small.append(chunk)
    if small:
        found.append(b"".join(small))
    return found
