"""Private files: read with suspicion, written atomically, locked, and opened for a log.

What is private belongs to the user of this process, who alone may read or change it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final

from .shared.problem import Problem

#: Differs when a file may have changed: see `signature`.
Signature = tuple[int, ...]

_PRIVATE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
#: Opens what may be a pipe without waiting for its other end, and takes over no terminal.
_AT_ONCE: Final = os.O_NONBLOCK | os.O_NOCTTY
#: Seconds between two attempts to get a lock.
_POLL: Final = 0.02


# Reading.


def read_regular(
    path: Path, what: str, limit: int, *, follow: bool = True
) -> tuple[bytes, os.stat_result]:
    """Return the first *limit* bytes of a regular file, and its status. Raises `Problem`.

    *what* begins the sentence that says what is wrong. A symbolic link is refused unless *follow*.
    """
    link = 0 if follow else os.O_NOFOLLOW
    try:
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | _AT_ONCE | link)) as file:
            status = os.fstat(file.fileno())
            content = file.read(limit) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        if not follow and os.path.islink(path):
            raise Problem(f"{what} {path} is a link, not a regular file.") from None
        raise Problem(f"{what} {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise Problem(f"{what} {path} is not a regular file.")
    return content, status


def read_private(
    path: Path,
    what: str,
    limit: int,
    *,
    owners: Collection[int] | None = (),
    follow: bool = True,
    shared: int = 0,
) -> bytes:
    """Return the first *limit* bytes of a private file. Raises `Problem`.

    The users *owners* may own it, too, or any user if that is None. The permission bits in
    *shared* are ignored. The rest is as in `read_regular`.
    """
    content, status = read_regular(path, what, limit, follow=follow)
    if owners is not None and status.st_uid not in (os.geteuid(), *owners):
        raise Problem(
            f"{what} {path} belongs to another user (number {status.st_uid}).",
            "Start as that user, or give the file to the one that runs this.",
        )
    if status.st_mode & _OTHERS & ~shared:
        raise Problem(
            f"{what} {path} can be read or changed by others than its owner.",
            f"If nobody has, run: chmod 600 {path}. Else make a new key.",
        )
    return content


def check_directory(path: Path, otherwise: str = "remove it and make new keys") -> None:
    """Check that only we can look into a directory and exchange its files. Raises `Problem`.

    *otherwise* says what to do if somebody else has been there.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        raise Problem(f"The directory {path} cannot be used: {error.strerror}.") from None
    if not stat.S_ISDIR(status.st_mode):
        raise Problem(f"{path} is not a directory.")
    if status.st_uid != os.geteuid():
        raise Problem(
            f"The directory {path} belongs to another user (number {status.st_uid}).",
            "Start as that user, or give it to the one that runs this.",
        )
    if status.st_mode & _OTHERS:
        raise Problem(
            f"The directory {path} can be read or changed by others than its owner.",
            f"If nobody has, run: chmod 700 {path}. Else {otherwise}.",
        )


def credential_permissions(path: Path, environ: Mapping[str, str]) -> int:
    """Return the permission bits to ignore for a systemd credential, 0 for any other file.

    For a service with `User=` systemd keeps the file root's and gives the user an entry of its
    own in the access control list, whose mask is shown in place of the group's permissions
    (systemd.exec(5), acl(5)).
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    return stat.S_IRGRP if directory and path.parent == Path(directory) else 0


def signature(path: Path) -> Signature:
    """Return a value that changes with a file's content, owner, permissions or absence.

    Of a directory, what is made in it changes nothing. Entry 6, for a file, is the time of its
    last change in ns.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid)
    if stat.S_ISDIR(status.st_mode):
        return identity
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


# Writing.


def write_private(path: Path, content: bytes) -> None:
    """Replace a file by one with *content* and mode 0600, all or nothing. Raises `OSError`.

    It outlasts a loss of power once this returns. Only one process may write it at a time (see
    `locked`): what an interrupted write has left is removed first.
    """
    new = path.with_name(f".{path.name}.new")
    with contextlib.suppress(FileNotFoundError):
        new.unlink()
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        with open(os.open(new, flags, _PRIVATE), "wb") as file:
            os.fchmod(file.fileno(), _PRIVATE)  # Whatever the umask.
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    _sync_directory(path.parent)


def _sync_directory(path: Path) -> None:
    """Make names in a directory outlast a loss of power."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_private(path: str, flags: int, *, follow: bool = True, tolerated: int = 0) -> int:
    """Open a regular file, made with mode 0600 if need be; return its descriptor.

    Never waits for a pipe's reader. A file with another mode gets 0600, unless it differs in the
    permission bits *tolerated* alone. Raises `OSError`.
    """
    link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, flags | _AT_ONCE | link, _PRIVATE)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise OSError(f"{path} is not a regular file")
        if stat.S_IMODE(mode) | tolerated != _PRIVATE | tolerated:
            os.fchmod(descriptor, _PRIVATE)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


# Locking.


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Keep an exclusive lock on *path*, a directory or a lock file, which is made if need be.

    Waits up to *patience* seconds, blocking the thread, for another process or thread that has
    it. Raises `Problem`.
    """
    try:
        descriptor = os.open(path, _lock_flags(path) | os.O_CLOEXEC, _PRIVATE)
    except OSError as error:
        raise Problem(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        end = time.monotonic() + patience
        while not _try_lock(descriptor, path):
            if time.monotonic() > end:
                raise Problem(
                    f"Another program has kept {path} locked for {patience:.0f} s.",
                    "Try again when it is done.",
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # Ends the lock.


def _lock_flags(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return os.O_RDONLY | os.O_DIRECTORY
    return os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise Problem(f"{path} cannot be locked: {error.strerror}.") from None
    return True
