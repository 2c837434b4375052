"""What the kernel says of a server's processes (Linux)."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")


def family(pid: int) -> list[int]:
    """*pid* and all its descendants."""
    pids = [pid]
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # A thread that has just ended.
            for child in (task / "children").read_text().split():
                pids += family(int(child))
    return pids


def cpu_seconds(pids: Sequence[int]) -> float:
    """CPU time of all threads, user and system, those that have ended included."""
    total = 0
    for pid in pids:
        # The command's name may hold anything, so count from its closing bracket.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


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
