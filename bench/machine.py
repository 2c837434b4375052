"""What the kernel tells about a server's processes, about other programs and the machine."""

from __future__ import annotations

import contextlib
import operator
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

#: clock_getcpuclockid(3)'s number for the CPU time of a whole process.
_CPU_CLOCK: Final = 2


def process_tree(pid: int) -> list[int]:
    """*pid* and all its descendants."""
    return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]


def cpu_timer(pids: Sequence[int]) -> Callable[[], float]:
    """A function that returns the CPU seconds, user and system, that *pids* have used since now.

    By the processes' CPU clocks, which count nanoseconds; psutil counts hundredths.
    """

    def used() -> float:
        return sum(time.clock_gettime((~pid << 3) | _CPU_CLOCK) for pid in pids)

    before = used()
    return lambda: used() - before


def private_memory(pids: Sequence[int]) -> int:
    """Resident bytes of *pids* that no other process shares."""
    return sum(psutil.Process(pid).memory_full_info().uss for pid in pids)


def peak_growth(pids: Sequence[int]) -> Callable[[], int]:
    """A function that returns by how many bytes the resident size of *pids* has grown at most."""
    for pid in pids:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # Starts the kernel's peak anew.
    before = sum(psutil.Process(pid).memory_info().rss for pid in pids)
    return lambda: sum(map(_peak, pids)) - before


def _peak(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) * 1024


def busy_seconds(times: Any) -> float:
    """CPU seconds that were not idle, of *times* as `psutil.cpu_times` gives them.

    Waiting for disks is idleness; guests are counted in the user time already.
    """
    busy = (times.user, times.nice, times.system, times.irq, times.softirq, times.steal)
    return float(sum(busy))


@contextlib.contextmanager
def measuring_other_load(shares: list[float]) -> Iterator[None]:
    """Append the share of the machine, 0 to 1, that other programs used within the block.

    Children have to be waited for within it: the kernel tells their CPU time only then.
    """

    def now() -> tuple[float, float, float]:
        elapsed = time.monotonic() * (os.cpu_count() or 1)
        return elapsed, busy_seconds(psutil.cpu_times()), sum(os.times()[:4])

    before = now()
    yield
    shares.append(other_share(*map(operator.sub, now(), before)))


def other_share(capacity: float, busy: float, ours: float) -> float:
    """The share, 0 to 1, of *capacity* CPU seconds that is busy and not ours."""
    return min(1.0, max(0.0, (busy - ours) / capacity))


#: Packages whose versions matter, in this environment and in Hermes'.
_OURS: Final = ("twisted", "autobahn", "orjson", "aiohttp", "picows", "uvloop")
_HERMES: Final = ("hermes-agent", "fastapi", "starlette", "uvicorn", "websockets", "orjson")
_VERSIONS: Final = """\
import platform, sys
from importlib.metadata import PackageNotFoundError, version
def of(name):
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"
print(", ".join([f"Python {platform.python_version()}", *map(of, sys.argv[1:])]))
"""


def describe(hermes_python: Path | None) -> dict[str, str]:
    """The machine and the versions, without names and paths, by heading."""
    cpus = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.partition(":")[2] for line in cpus if line.startswith("model name")]
    model = " ".join((models or [platform.machine()])[0].split())
    found = {
        "Processor": f"{model}, {len(os.sched_getaffinity(0))} cores",
        "Memory": f"{psutil.virtual_memory().total / 1024**3:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "This project, P2, P4, client": _versions(sys.executable, _OURS),
    }
    if hermes_python is not None:
        found["P1, P3, our worker"] = _versions(str(hermes_python), _HERMES)
    return found


def _versions(python: str, packages: Sequence[str]) -> str:
    return subprocess.check_output([python, "-I", "-c", _VERSIONS, *packages], text=True).strip()
