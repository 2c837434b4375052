"""The audit log's files: who may read them, how large they get, and when the disk is full."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from twisted.logger import LogLevel, capturedLogs

from hermes_twisted.operate.audit import AuditLog

BEGIN = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)


class Now:
    time = BEGIN

    def __call__(self) -> datetime:
        self.time += timedelta(seconds=1)
        return self.time


def make(path: Path, max_bytes: int = 10_000, keep: int = 2) -> AuditLog:
    return AuditLog(path, max_bytes=max_bytes, keep=keep, now=Now())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="ascii").splitlines()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "attach" / "audit.jsonl"


@pytest.fixture
def umask() -> Iterator[None]:
    """Files would be open to everyone."""
    before = os.umask(0)
    yield
    os.umask(before)


def test_lines(path: Path) -> None:
    """One object a line, in order, with the time in UTC; what has no value is left out."""
    audit = make(path)
    audit.record("opened", seat=1, key="a\nb\u2028é", key_id=None, ok=True)
    audit.record("closed", seconds=1.5)

    # Before it is closed: nothing waits in this process.
    assert lines(path) == [
        {
            "time": "2026-01-02T03:04:06.678Z",
            "event": "opened",
            "seat": 1,
            "key": "a\nb\u2028é",
            "ok": True,
        },
        {"time": "2026-01-02T03:04:07.678Z", "event": "closed", "seconds": 1.5},
    ]
    audit.close()


def test_nothing_is_opened_before_the_first_event(path: Path) -> None:
    """twistd forks in between."""
    make(path).close()

    assert not path.parent.exists()


def test_appends(path: Path) -> None:
    """A restart goes on with the file; so may two servers at once."""
    one, other = make(path), make(path)
    for number in range(3):
        one.record("a", n=number)
        other.record("b", n=number)
    one.close()
    again = make(path)
    again.record("c")

    assert [line["event"] for line in lines(path)] == ["a", "b"] * 3 + ["c"]
    other.close()
    again.close()


def test_modes(path: Path, umask: None) -> None:
    """Nobody else can read the directory, the file, or the earlier files."""
    audit = make(path, max_bytes=150)
    for _ in range(4):
        audit.record("x" * 60)
    audit.close()

    assert mode(path.parent) == 0o700
    assert {file.name: mode(file) for file in path.parent.iterdir()} == {
        "audit.jsonl": 0o600,
        "audit.jsonl.1": 0o600,
        "audit.jsonl.2": 0o600,
    }


def test_an_open_file_is_shut(path: Path) -> None:
    """One that others could read no longer is."""
    path.parent.mkdir()
    path.touch()
    path.chmod(0o644)

    audit = make(path)
    audit.record("x")
    audit.close()

    assert mode(path) == 0o600


def test_rotation(path: Path) -> None:
    """No file is above its size, no more are kept than asked for, and the newest are."""
    audit = make(path, max_bytes=400, keep=2)
    for number in range(100):
        audit.record("x", n=number)
    audit.close()

    files = [path.with_name("audit.jsonl.2"), path.with_name("audit.jsonl.1"), path]
    assert sorted(path.parent.iterdir()) == sorted(files)
    assert all(0 < file.stat().st_size <= 400 for file in files)
    numbers = [line["n"] for file in files for line in lines(file)]
    assert numbers == list(range(100 - len(numbers), 100))


@pytest.mark.parametrize("how", ["moved", "removed"])
def test_another_rotates(path: Path, how: str) -> None:
    """When the file is moved or removed, the next line goes into a new one."""
    audit = make(path)
    audit.record("a")
    if how == "moved":
        path.rename(path.with_name("old"))
    else:
        path.unlink()

    audit.record("b")
    audit.close()

    assert [line["event"] for line in lines(path)] == ["b"]
    assert mode(path) == 0o600


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """No file of this process can grow above *size* bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_full_disk(path: Path) -> None:
    """It is said once, nothing is raised, and what is written later is whole."""
    audit = make(path)
    with capturedLogs() as events:
        with full_disk(100):
            for number in range(300):
                audit.record("x", n=number)
        audit.record("after")
        audit.record("after")
        audit.close()

    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.warn]
    assert events[0]["path"] == str(path)
    assert "File too large" in events[0]["error"]
    assert events[1]["lost"] > 250
    assert [line["event"] for line in lines(path)][-2:] == ["after", "after"]


def test_a_second_failure_is_said_again(path: Path) -> None:
    """After it went well in between."""
    audit = make(path)
    with capturedLogs() as events:
        for _ in range(2):
            with full_disk(10):
                audit.record("x")
            audit.record("x")
    audit.close()

    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.warn] * 2


@pytest.mark.parametrize("what", ["directory", "pipe", "file above"])
def test_no_file_at_all(path: Path, what: str) -> None:
    """Whatever is there instead: said once, and the service goes on."""
    if what == "file above":
        path.parent.touch()
    else:
        path.parent.mkdir()
        path.mkdir() if what == "directory" else os.mkfifo(path)
    audit = make(path)

    with capturedLogs() as events:
        audit.record("x")
        audit.record("x")
        audit.close()

    [event] = events
    assert event["log_level"] is LogLevel.error


def test_rotation_that_fails(path: Path) -> None:
    """The limit is kept all the same, and the file goes on when it can."""
    audit = make(path, max_bytes=200, keep=1)
    blocker = path.with_name("audit.jsonl.1")
    audit.record("x" * 60)
    (blocker / "full").mkdir(parents=True)
    with capturedLogs() as events:
        for _ in range(20):
            audit.record("x" * 60)
        assert path.stat().st_size <= 200
        (blocker / "full").rmdir()
        blocker.rmdir()
        audit.record("after")
    audit.close()

    assert [event["log_level"] for event in events] == [LogLevel.error, LogLevel.warn]
    assert lines(path)[-1]["event"] == "after"
