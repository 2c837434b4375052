"""What the kernel tells about a server's processes, about other programs and the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import psutil


def process_tree(pid: int) -> list[int]:
    """Return *pid* and all its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return the CPU time, user and system, that *pids* have used.

    By the processes' CPU clocks, which count nanoseconds; psutil counts hundredths.
    """
    return sum(time.clock_gettime(~pid << 3 | 2) for pid in pids)  # As clock_getcpuclockid(3).


def private_memory(pids: Sequence[int]) -> int:
    """Return the resident bytes of *pids* that no other process shares."""
    return sum(psutil.Process(pid).memory_full_info().uss for pid in pids)


def peak_growth(pids: Sequence[int]) -> Callable[[], int]:
    """Return a function that says by how many bytes the resident size of *pids* grew at most."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # Starts the kernel's peak anew.
    before = sum(psutil.Process(pid).memory_info().rss for pid in pids)

    def peak(pid: int) -> int:
        status = Path(f"/proc/{pid}/status").read_text()
        return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024

    return lambda: sum(map(peak, pids)) - before


def other_load() -> Callable[[], float]:
    """Return a function that says which share of the machine, 0 to 1, others have used since."""
    began, before = time.monotonic(), own_cpu_seconds()
    psutil.cpu_percent()  # The next call is about the time since this one.

    def share() -> float:
        busy, capacity = psutil.cpu_percent() / 100, os.cpu_count() * (time.monotonic() - began)
        return min(1.0, max(0.0, busy - (own_cpu_seconds() - before) / capacity))

    return share


def own_cpu_seconds() -> float:
    """Return the CPU time of this process and its children, those that have ended as well."""
    running, times = cpu_seconds(process_tree(os.getpid())), os.times()
    return running + times.children_user + times.children_system


def describe(hermes_python: Path) -> dict[str, str]:
    """Return the machine and the versions, without names and paths, by heading."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2].strip() for line in cpus if line.startswith("model name")]
    ours = ("twisted", "autobahn", "orjson", "aiohttp", "picows", "uvloop")
    theirs = ("hermes-agent", "fastapi", "starlette", "uvicorn", "websockets", "orjson")
    return {
        "Processor": f"{[*models, platform.machine()][0]}, {os.cpu_count()} cores",
        "Memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "This project, P2, P4, client": _versions(sys.executable, *ours),
        "P1, P3, our worker": _versions(str(hermes_python), *theirs),
    }


def _versions(python: str, *packages: str) -> str:
    report = json.loads(subprocess.check_output([python, "-m", "pip", "inspect", "--local"]))
    installed = [each["metadata"] for each in report["installed"]]
    found = {each["name"].lower(): each["version"] for each in installed}
    versions = [f"{name} {found[name]}" if name in found else f"no {name}" for name in packages]
    return ", ".join([f"Python {report['environment']['python_full_version']}", *versions])
