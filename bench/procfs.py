"""What the kernel says of a server's processes (Linux)."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: In the kernel's numbers for clocks: CPU time of a whole process.
_CPU_CLOCK: Final = 2


def family(pid: int) -> list[int]:
    """*pid* and all its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # A thread that has just ended.
            for child in (task / "children").read_text().split():
                pids += family(int(child))
    return pids


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of all threads, user and system, those that have ended included.

    By clock_getcpuclockid(3), which counts nanoseconds where /proc counts hundredths.
    """
    return sum(time.clock_gettime((~pid << 3) | _CPU_CLOCK) for pid in pids)


def memory(pids: Sequence[int]) -> int:
    """Resident bytes that these processes share with nobody."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(("Private_Clean:", "Private_Dirty:")):
                total += int(line.split()[1]) * 1024
    return total


def forget_peak(pids: Sequence[int]) -> None:
    """From now on `peak` counts anew."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak(pids: Sequence[int]) -> int:
    """The highest resident size of each since `forget_peak`, in bytes, added up."""
    return sum(_status(pid, "VmHWM:") for pid in pids)


def resident(pids: Sequence[int]) -> int:
    """The resident size now, in bytes, to compare with `peak`."""
    return sum(_status(pid, "VmRSS:") for pid in pids)


def _status(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024
    return 0
