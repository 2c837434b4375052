"""Shared by all rungs: where the stub of Hermes is, and real ones."""

from __future__ import annotations

import itertools
import os
import socket
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
STUB = ROOT / "tests" / "stub"
#: `make hermes` puts an environment for each release here.
HERMES = Path(os.environ.get("HERMES_ENVIRONMENTS", ROOT / ".hermes"))
#: Set where nothing may be skipped.
STRICT = bool(os.environ.get("CI"))


def skip(reason: str) -> None:
    """Skip the test, or fail it where everything has to run."""
    if STRICT:
        pytest.fail(f"{reason}, and CI runs everything")
    pytest.skip(reason)


def hermes_python(version: str) -> Path:
    """The Python that this release of Hermes is installed in."""
    python = HERMES / version / "bin" / "python"
    if not python.exists():
        skip(f"hermes-agent {version} is not installed; `make hermes` does it")
    return python


@pytest.fixture
def stub_python(tmp_path: Path) -> Path:
    """An interpreter that finds the stub instead of Hermes."""
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\nPYTHONPATH="{STUB}" exec "{sys.executable}" "$@"\n')
    script.chmod(0o755)
    return script


#: Lowest port, and how many from there on.
_LOWEST, _COUNT = 10_000, 20_000
_FIRST = os.getpid() * 211
_PORTS = itertools.cycle(_LOWEST + (_FIRST + number) % _COUNT for number in range(_COUNT))


def find_port() -> int:
    """A port that nobody listens on, and that no outgoing connection is given.

    A port that the kernel chose can become the local end of any connection before the
    server under test binds it. These lie below the ranges of Linux and macOS, and two
    processes that run tests begin far apart.
    """
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
        except OSError:
            return False
        return True


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    return find_port()
