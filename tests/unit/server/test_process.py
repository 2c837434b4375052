"""What the process keeps to itself."""

from __future__ import annotations

import os
import resource
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hermes_twisted.server.process import keep_private

linux = pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")


def run(code: str, **environ: str) -> str:
    """What a fresh process, with these variables, prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@linux
def test_a_variable_is_forgotten() -> None:
    """By this process, by its children, and by the kernel, which shows it to `ps e`."""
    shown = run(
        "import os, subprocess, sys\n"
        "from hermes_twisted.server.process import forget_variable\n"
        "assert forget_variable('SECRET')\n"
        "assert 'SECRET' not in os.environ\n"
        "print(open('/proc/self/environ').read())\n"
        "print(subprocess.run(['cat', '/proc/self/environ'], capture_output=True).stdout)\n"
        "print(os.environ['BEFORE'], os.environ['SECRET_NOT'])\n",
        BEFORE="kept-1",
        SECRET="correct-horse",
        SECRET_NOT="kept-2",
        AFTER="SECRET=kept-3",
    )

    assert "correct-horse" not in shown
    assert "kept-1 kept-2" in shown
    assert "SECRET_NOT=kept-2" in shown
    assert "AFTER=SECRET=kept-3" in shown


@linux
@pytest.mark.parametrize("value", [None, ""])
def test_a_variable_that_is_not_there(value: str | None) -> None:
    """Nothing to forget, nothing broken."""
    environ = {"OTHER": "kept"} if value is None else {"OTHER": "kept", "SECRET": value}

    shown = run(
        "from hermes_twisted.server.process import forget_variable\n"
        "print(forget_variable('SECRET'), open('/proc/self/environ').read())\n",
        **environ,
    )

    assert shown.startswith("True")
    assert "OTHER=kept" in shown


def test_no_core_files() -> None:
    """Not of this process; the hard limit stays, so a child may be given the former one."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    former = 4096 if hard == resource.RLIM_INFINITY else hard

    shown = run(
        "import resource\n"
        "from hermes_twisted.server.process import forbid_core_files\n"
        "hard = resource.getrlimit(resource.RLIMIT_CORE)[1]\n"
        f"resource.setrlimit(resource.RLIMIT_CORE, ({former}, hard))\n"
        "print(forbid_core_files(), resource.getrlimit(resource.RLIMIT_CORE) == (0, hard))\n"
    )

    assert shown == f"{former} True\n"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (None, 0o600),
        (0o644, 0o600),
        (0o666, 0o600),
        (0o660, 0o600),
        (0o604, 0o600),
        (0o600, 0o600),
        (0o640, 0o640),
        (0o400, 0o400),
    ],
)
def test_a_log_file(tmp_path: Path, before: int | None, after: int) -> None:
    """Not for everyone to read, nor for others to write; the operator's stricter choice stays."""
    path = tmp_path / "twistd.log"
    if before is not None:
        path.write_text("kept")
        path.chmod(before)

    keep_private(str(path))

    assert mode(path) == after
    assert path.read_text() == ("" if before is None else "kept")


def test_what_is_no_log_file(tmp_path: Path) -> None:
    """A pipe, a device, a link to another's file, a place that is not there: left alone."""
    other, link, pipe = tmp_path / "other", tmp_path / "link", tmp_path / "pipe"
    other.touch()
    other.chmod(0o644)
    link.symlink_to(other)
    os.mkfifo(pipe, 0o644)

    for path in (link, pipe, Path("/dev/null"), tmp_path, tmp_path / "absent" / "log"):
        keep_private(str(path))

    assert mode(other) == 0o644
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert not (tmp_path / "absent").exists()
