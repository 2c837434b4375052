from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest

from hermes_twisted.server.attach_lines import SHELLS, assignment, assignments, shell

VALUE = "wss://h.example:8643/api/ws?token=a%20b&c=$HOME"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("posix", f"export X='{VALUE}'"),
        ("fish", f"set -gx X '{VALUE}'"),
        ("powershell", f"$env:X = '{VALUE}'"),
        ("cmd", f'set "X={VALUE}"'),
    ],
)
def test_assignment(name: str, line: str) -> None:
    """Each shell gets its own syntax, and nothing in the value is its business."""
    assert assignment(name, "X", VALUE) == line


def test_a_shell_takes_it() -> None:
    """The line means what it says, to a real shell."""
    sh = shutil.which("sh")
    assert sh is not None

    printed = subprocess.run(
        [sh, "-c", assignment("posix", "X", VALUE) + '; printf %s "$X"'],
        capture_output=True,
        text=True,
        check=True,
    )

    assert printed.stdout == VALUE
    assert shlex.split(assignment("posix", "X", VALUE)) == ["export", f"X={VALUE}"]


@pytest.mark.parametrize("name", ["posix", "fish", "powershell"])
def test_quotes_are_refused(name: str) -> None:
    """A value that could end its quotes is a mistake of ours."""
    with pytest.raises(ValueError, match="single quote"):
        assignment(name, "X", "a'; id; '")


def test_all_of_them() -> None:
    """The line of every shell stands below the shell's name."""
    lines = assignments("X", "v").splitlines()

    assert [line.strip() for line in lines[::2]] == [f"{title}:" for title, _ in SHELLS.values()]
    assert [line.strip() for line in lines[1::2]] == [assignment(s, "X", "v") for s in SHELLS]


@pytest.mark.parametrize(
    ("name", "found"),
    [("bash", "posix"), ("zsh", "posix"), ("PWSH", "powershell"), ("Fish", "fish")],
)
def test_names(name: str, found: str) -> None:
    assert shell(name) == found


def test_unknown_shell() -> None:
    with pytest.raises(ValueError, match="powershell"):
        shell("tcsh")
