"""Shared by all rungs: where the stub of Hermes is, and real ones."""

from __future__ import annotations

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


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
