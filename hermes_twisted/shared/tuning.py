"""What makes a process of ours answer evenly. Not for a process that is another's, as a gateway."""

from __future__ import annotations

import gc
import sys
from typing import Final

#: Seconds between thread switches (Python's default is 5 ms): a frame gets out this soon while
#: an agent's thread computes.
SWITCH_INTERVAL: Final = 0.001


def switch_often(interval: float = SWITCH_INTERVAL) -> None:
    """Let a thread that computes give way after *interval* seconds."""
    sys.setswitchinterval(interval)


def freeze() -> None:
    """Spare the collector what has been imported: it would look at all of it again and again.

    Each time for 40 to 100 ms, in which nothing else runs.
    """
    gc.collect()
    gc.freeze()
