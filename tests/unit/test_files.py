"""Private files: what is written, locked and opened; that reading is suspicious, in `access`."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hermes_twisted.files import (
    check_directory,
    locked,
    open_private,
    read_private,
    read_regular,
    write_private,
)
from hermes_twisted.shared.problem import Problem


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(params=[0o000, 0o022, 0o277])
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever the umask, also one that takes rights from the owner."""
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_written_files_are_private(tmp_path: Path) -> None:
    """A new file and a replaced one have mode 0600, and no temporary is left."""
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        write_private(path, content)

        assert (path.read_bytes(), mode(path)) == (content, 0o600)
        assert list(tmp_path.iterdir()) == [path]


def test_a_leftover_is_no_obstacle(tmp_path: Path) -> None:
    """What an interrupted write has left is removed; a link in its place is not followed."""
    path, victim = tmp_path / "file", tmp_path / "victim"
    victim.write_text("precious")
    path.with_name(".file.new").symlink_to(victim)

    write_private(path, b"content")

    assert victim.read_text() == "precious"
    assert sorted(tmp_path.iterdir()) == [path, victim]


@pytest.mark.parametrize("call", ["fsync", "replace", "fchmod"])
def test_a_failed_write_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """A disk that breaks leaves the file as it was, and nothing beside it."""
    path = tmp_path / "file"
    write_private(path, b"before")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(OSError, match="No space"):
        write_private(path, b"after")

    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_is_made_to_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content reaches the disk before the new name does, and that before this returns."""
    synced = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(
        os,
        "fsync",
        lambda fd: (synced.append(stat.S_ISDIR(os.fstat(fd).st_mode)), fsync(fd))[1],
    )
    monkeypatch.setattr(os, "replace", lambda a, b: (synced.append("name"), replace(a, b))[1])

    write_private(tmp_path / "file", b"content")

    assert synced == [False, "name", True]


@pytest.mark.parametrize("what", ["directory", "file"])
def test_a_lock_is_exclusive(tmp_path: Path, what: str) -> None:
    """One at a time: another thread waits, and has it once it is given back."""
    path = tmp_path if what == "directory" else tmp_path / "lock"
    order = []
    waiting = threading.Event()

    def second() -> None:
        waiting.set()
        with locked(path, 60.0):
            order.append("second")

    with locked(path, 0.0):
        thread = threading.Thread(target=second)
        thread.start()
        assert waiting.wait(60.0)
        with pytest.raises(Problem, match=f"kept {path} locked"), locked(path, 0.0):
            raise AssertionError("there are two")
        order.append("first")
    thread.join()

    assert order == ["first", "second"]
    assert what == "directory" or mode(path) == 0o600


def test_a_lock_is_given_back_after_an_error(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), locked(tmp_path, 0.0):
        raise RuntimeError

    with locked(tmp_path, 0.0):
        pass


def test_a_lock_follows_no_link(tmp_path: Path) -> None:
    """Neither to a file nor to a directory: it would be another lock than the others'."""
    for target in (tmp_path / "file", tmp_path):
        path = tmp_path / "lock"
        path.symlink_to(target)

        with pytest.raises(Problem, match="cannot be opened"), locked(path, 0.0):
            pass

        path.unlink()


@pytest.mark.parametrize(
    ("before", "tolerated", "after"),
    [
        (None, 0, 0o600),
        (0o644, 0, 0o600),
        (0o640, 0, 0o600),
        (0o640, 0o040, 0o640),
        (0o644, 0o040, 0o600),
        (0o660, 0o040, 0o600),
    ],
)
def test_opened_files_are_private(
    tmp_path: Path, before: int | None, tolerated: int, after: int
) -> None:
    """A file that others can use gets mode 0600, unless that is tolerated."""
    path = tmp_path / "log"
    if before is not None:
        path.touch()
        path.chmod(before)

    os.close(open_private(str(path), os.O_WRONLY | os.O_CREAT, tolerated=tolerated))

    assert mode(path) == after


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    """A pipe without a reader does not block, a device is refused, a link only if told."""
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(tmp_path / "log")

    for path in (pipe, Path("/dev/null")):
        with pytest.raises(OSError):
            open_private(str(path), os.O_WRONLY | os.O_APPEND)
    with pytest.raises(OSError):
        open_private(str(link), os.O_WRONLY | os.O_CREAT, follow=False)
    os.close(open_private(str(link), os.O_WRONLY | os.O_CREAT))

    assert mode(tmp_path / "log") == 0o600


def test_any_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A private file of another user is refused, unless any owner will do."""
    path = tmp_path / "file"
    write_private(path, b"content")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    assert read_private(path, "The file", 99, owners=None) == b"content"
    assert read_private(path, "The file", 99, owners=[os.getuid()]) == b"content"
    with pytest.raises(Problem, match="belongs to another user") as caught:
        read_private(path, "The file", 99)
    assert "change the file's owner" in caught.value.advice


def test_public_files_are_read(tmp_path: Path) -> None:
    """What holds no secret may be anybody's, within the limit."""
    path = tmp_path / "file"
    path.write_bytes(b"content")
    path.chmod(0o644)

    content, status = read_regular(path, "The file", 4)

    assert (content, status.st_size) == (b"cont", 7)


def test_the_advice_is_the_callers(tmp_path: Path) -> None:
    """What to do about a directory that others can enter depends on what is in it."""
    tmp_path.chmod(0o750)

    with pytest.raises(Problem) as caught:
        check_directory(tmp_path, "burn it")

    assert "users other than its owner" in caught.value.what
    assert caught.value.advice == f"If nobody did, run: chmod 700 {tmp_path}. Otherwise burn it."
