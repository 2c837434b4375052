"""What a run was made on, without names and paths."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Final

#: Those whose versions matter, here and in Hermes' environment.
OURS: Final = ("twisted", "autobahn", "orjson", "aiohttp", "picows", "uvloop")
THEIRS: Final = ("hermes-agent", "fastapi", "starlette", "uvicorn", "websockets", "orjson")

_ASK: Final = """\
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
    """By heading."""
    found = {
        "Processor": f"{_model()}, {len(os.sched_getaffinity(0))} cores",
        "Memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1024**3:.0f} GiB",
        "Kernel": f"{platform.system()} {platform.release().split('-')[0]}",
        "This project, P2, P4, client": ", ".join(
            [f"Python {platform.python_version()}", *map(_version, OURS)]
        ),
    }
    if hermes_python is not None:
        asked = subprocess.run(
            [str(hermes_python), "-I", "-c", _ASK, *THEIRS],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        found["P1, P3, our worker"] = asked.stdout.strip()
    return found


def _model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return " ".join(line.partition(":")[2].split())
    return platform.machine()


def _version(name: str) -> str:
    try:
        return f"{name} {version(name)}"
    except PackageNotFoundError:
        return f"no {name}"
