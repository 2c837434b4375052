"""Keep secrets within this process: its environment, its core files and its log files."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

from ..files import open_private

try:
    import resource
except ImportError:  # Windows has neither limits nor core files.
    resource = None  # type: ignore[assignment]

#: Fields of /proc/PID/stat (proc_pid_stat(5)), counted from the third.
_ENV_START: Final = 50 - 3
_ENV_END: Final = 51 - 3


def forget_variable(name: str) -> bool:
    """Remove a variable from the environment, and its value from /proc/PID/environ.

    The kernel shows the block that the process was started with, so that is overwritten. Returns
    False where that cannot be done: no Linux, or no /proc.
    """
    os.environ.pop(name, None)
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
        # A wrong address is an error in this file, where a pointer would crash the process.
        with open("/proc/self/mem", "r+b", buffering=0) as memory:
            memory.seek(start)
            block = memory.read(end - start)
            assignment = name.encode() + b"="
            place = 0
            for entry in block.split(b"\0"):
                if entry.startswith(assignment):
                    memory.seek(start + place + len(assignment))
                    memory.write(b"x" * (len(entry) - len(assignment)))
                place += len(entry) + 1
        return True
    return False


def forbid_core_files() -> int | None:
    """Forbid core files of this process; return the former limit, None where there is none.

    Sets the soft limit only, so that children may be given the former one.
    """
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    return soft


def keep_private(path: str) -> None:
    """Make a log file that twistd is about to open private.

    A new one gets mode 0600, which later ones of a rotation inherit. An existing one gets it if
    others can read it or its group can write it; the operator's choice of 0640 or less stays.
    Links and errors are left to twistd: the operator may have meant a link, such as /dev/stdout.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    tolerated = 0o7777 & ~(stat.S_IRWXO | stat.S_IWGRP)
    with contextlib.suppress(OSError):
        os.close(open_private(path, flags, follow=False, tolerated=tolerated))
