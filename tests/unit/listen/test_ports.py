"""Sockets that a dead server has left, and those that are still somebody's."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from hermes_twisted.listen.ports import remove_stale_socket


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def bind(path: Path) -> socket.socket:
    bound = socket.socket(socket.AF_UNIX)
    bound.bind(str(path))
    return bound


def test_dead(path: Path) -> None:
    """Nobody listens: socket and lock go, whoever has the lock's process number by now."""
    bind(path).close()
    lock = path.with_name("s.lock")
    lock.symlink_to(str(os.getpid()))

    remove_stale_socket(path)

    assert not os.path.lexists(path)
    assert not os.path.lexists(lock)


def test_dead_without_a_lock(path: Path) -> None:
    bind(path).close()

    remove_stale_socket(path)

    assert not os.path.lexists(path)


def test_alive(path: Path) -> None:
    """Somebody listens, even if too busy to answer."""
    with bind(path) as bound:
        bound.listen(0)
        # The first waits to be accepted, the others are told to come again.
        for _ in range(3):
            remove_stale_socket(path)
            assert path.is_socket()


def test_nothing(path: Path) -> None:
    remove_stale_socket(path)

    assert not os.path.lexists(path)


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_something_else(path: Path, kind: str) -> None:
    """It is not ours to remove."""
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        bind(path.with_name("target")).close()
        path.symlink_to("target")

    remove_stale_socket(path)

    assert os.path.lexists(path)


def test_name_that_is_too_long(tmp_path: Path) -> None:
    """The listening itself says so."""
    remove_stale_socket(tmp_path / ("x" * 200))
