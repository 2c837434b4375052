"""What a process can do so that its secrets stay in it. Of this module's own state: none."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Final

try:
    import resource
except ImportError:  # Windows has neither limits nor core files.
    resource = None  # type: ignore[assignment]

#: Fields of /proc/PID/stat (proc_pid_stat(5)), counted from the third.
_ENV_START: Final = 50 - 3
_ENV_END: Final = 51 - 3


def forget_variable(name: str) -> bool:
    """Remove a variable of the environment, from /proc/PID/environ as well.

    The kernel shows the block that the process was started with, whatever becomes
    of its variables. False where that cannot be changed: not Linux, no /proc.
    """
    os.environ.pop(name, None)
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open("/proc/self/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
        start, end = int(fields[_ENV_START]), int(fields[_ENV_END])
        # Unlike a pointer, this file turns a wrong address into an error.
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
    """Write no core file of this process; returns the limit there was, if there is such a thing.

    The soft limit only, so that children may be given the former one.
    """
    if resource is None:
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
    return soft


def keep_private(path: str) -> None:
    """See that a log file, which another is about to open, is not for everyone to read.

    A new one is made with mode 0600, which later ones of a rotation inherit. One that is
    there and open to others than its group gets it; a stricter choice of the operator's,
    such as 0640, stays. Whatever prevents this is left for the one who opens the file.
    """
    with contextlib.suppress(OSError):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY
        # A symbolic link is somebody's arrangement, such as /dev/stdout.
        flags |= os.O_NOFOLLOW
        descriptor = os.open(path, flags, 0o600)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
                os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
