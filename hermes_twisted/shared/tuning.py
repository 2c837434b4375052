"""Settings of the interpreter for even answer times. Only for processes that are our own."""

from __future__ import annotations

import gc
import sys
from typing import Final

#: Seconds after which a thread that computes gives way (Python's default is 5 ms): the longest
#: that a frame waits for an agent's thread.
SWITCH_INTERVAL: Final = 0.001


def switch_often(interval: float = SWITCH_INTERVAL) -> None:
    """Let a thread that computes give way after *interval* seconds."""
    sys.setswitchinterval(interval)


def freeze() -> None:
    """Exempt everything imported so far from garbage collection.

    A full collection of it takes 40 to 100 ms, in which nothing else runs.
    """
    gc.collect()
    gc.freeze()
