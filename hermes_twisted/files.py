"""Private files: checked reads, atomic writes, locks, and log files.

A private file belongs to the user of this process, and no other user may read or change it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .shared.problem import Problem


@dataclass(frozen=True)
class Signature:
    """The state of a path. Two of one path differ if the file may have changed between them."""

    identity: tuple[int, ...]
    """Compared only: inode, owner, mode and times, or an error number."""
    changed_ns: int = 0
    """The time of a file's last change (`st_ctime`), in ns; 0 for anything but a file."""


_PRIVATE: Final = 0o600
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
#: Open a pipe without waiting for its other end; never acquire a controlling terminal.
_NO_WAIT: Final = os.O_NONBLOCK | os.O_NOCTTY
#: Seconds between two attempts to take a lock.
_POLL: Final = 0.02


# Reading.


def read_regular(
    path: Path, subject: str, limit: int, *, follow: bool = True
) -> tuple[bytes, os.stat_result]:
    """Return the first *limit* bytes of a regular file, and its status. Raises `Problem`.

    *subject* names the file in the error, as in "The key file". A symbolic link is refused unless
    *follow*.
    """
    link = 0 if follow else os.O_NOFOLLOW
    try:
        with open(path, "rb", opener=lambda p, flags: os.open(p, flags | _NO_WAIT | link)) as file:
            status = os.fstat(file.fileno())
            content = file.read(limit) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        if not follow and os.path.islink(path):
            raise Problem(
                f"{subject} {path} is a link, not a regular file.",
                "Replace it by the file that it leads to.",
            ) from None
        raise Problem(f"{subject} {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise Problem(f"{subject} {path} is not a regular file.")
    return content, status


def read_private(
    path: Path,
    subject: str,
    limit: int,
    *,
    owners: Collection[int] | None = (),
    follow: bool = True,
    shared: int = 0,
) -> bytes:
    """Return the first *limit* bytes of a private file. Raises `Problem`.

    The file may also belong to one of the users *owners* (user ids), or to anybody if that is
    None. The permission bits in *shared* are ignored. *subject*, *limit* and *follow* are those of
    `read_regular`.
    """
    content, status = read_regular(path, subject, limit, follow=follow)
    if owners is not None and status.st_uid not in (os.geteuid(), *owners):
        raise Problem(
            f"{subject} {path} belongs to another user (number {status.st_uid}).",
            "Run this as that user, or change the file's owner to the user that runs this.",
        )
    if status.st_mode & _OTHERS & ~shared:
        raise Problem(
            f"{subject} {path} can be read or changed by users other than its owner.",
            f"If nobody did, run: chmod 600 {path}. Otherwise make a new key.",
        )
    return content


def check_directory(path: Path, remedy: str = "remove it and make new keys") -> None:
    """Check that a directory is private: ours, and of mode 0700 or less. Raises `Problem`.

    *remedy* is the advice, after "Otherwise", for a directory that others may have changed.
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
            "Run this as that user, or change its owner to the user that runs this.",
        )
    if status.st_mode & _OTHERS:
        raise Problem(
            f"The directory {path} can be read or changed by users other than its owner.",
            f"If nobody did, run: chmod 700 {path}. Otherwise {remedy}.",
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
    """Return a value that changes with a file's content, owner or permissions, or if it is removed.

    For a directory, changes of its entries make no difference.
    """
    try:
        status = os.stat(path)
    except OSError as error:
        return Signature((error.errno or 0,))
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid)
    if stat.S_ISDIR(status.st_mode):
        return Signature(identity)
    content = (status.st_size, status.st_mtime_ns)
    return Signature((*identity, *content), status.st_ctime_ns)


# Writing.


def write_private(path: Path, content: bytes) -> None:
    """Atomically replace a file by one with *content* and mode 0600. Raises `OSError`.

    The content is on the disk when this returns. Callers must exclude each other, as with
    `locked`: the temporary file of an interrupted write is removed first.
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
    """Flush the names in a directory to the disk. Raises `OSError`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_private(path: str, flags: int, *, follow: bool = True, tolerated: int = 0) -> int:
    """Open a regular file and return its descriptor. Raises `OSError`.

    With `O_CREAT` in *flags* a new file gets mode 0600. An existing one gets it, too, unless its
    mode differs only in the permission bits *tolerated*. Anything but a regular file, such as a
    pipe, is refused without waiting.
    """
    link = 0 if follow else os.O_NOFOLLOW
    descriptor = os.open(path, flags | _NO_WAIT | link, _PRIVATE)
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
def locked(path: Path, timeout: float) -> Iterator[None]:
    """Lock *path* exclusively for the `with` block. Raises `Problem`.

    *path* is a directory, or a lock file, which is created if it is missing. Blocks the thread for
    up to *timeout* seconds while another process or thread has the lock.
    """
    try:
        descriptor = os.open(path, _lock_flags(path) | os.O_CLOEXEC, _PRIVATE)
    except OSError as error:
        raise Problem(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        end = time.monotonic() + timeout
        while not _try_lock(descriptor, path):
            if time.monotonic() > end:
                raise Problem(
                    f"Another program has kept {path} locked for {timeout:.0f} s.",
                    "Try again when it has finished.",
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # Releases the lock.


def _lock_flags(path: Path) -> int:
    """Return the flags that open a directory, or open or create a lock file."""
    if path.is_dir() and not path.is_symlink():
        return os.O_RDONLY | os.O_DIRECTORY
    return os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW


def _try_lock(descriptor: int, path: Path) -> bool:
    """Try to lock once; return whether that succeeded. Raises `Problem` if it never can."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise Problem(f"{path} cannot be locked: {error.strerror}.") from None
    return True
