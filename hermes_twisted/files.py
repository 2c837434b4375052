"""Files that hold or guard secrets: read only while nobody else can touch them."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from .shared.problem import Problem

#: What tells that a file may have changed.
Signature = tuple[int, ...]


def read_private(
    path: Path,
    what: str,
    limit: int,
    *,
    owners: tuple[int, ...] = (),
    follow: bool = True,
    shared: int = 0,
) -> bytes:
    """The first *limit* bytes of a regular file of ours. Raises `Problem`.

    *owners* may own it besides us; a link in its place is refused unless *follow*; of
    the permissions of others, those in *shared* are none.
    """
    try:
        with open(path, "rb", opener=_open_at_once if follow else _open_itself) as file:
            status = os.fstat(file.fileno())
            content = file.read(limit) if stat.S_ISREG(status.st_mode) else b""
    except OSError as error:
        if not follow and os.path.islink(path):
            raise Problem(f"{what} {path} is a link, not a regular file.") from None
        raise Problem(f"{what} {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(status.st_mode):
        raise Problem(f"{what} {path} is not a regular file.")
    if status.st_uid not in (os.geteuid(), *owners):
        raise Problem(
            f"{what} {path} belongs to another user (number {status.st_uid}). Start as that "
            "user, or give the file to the one that runs this."
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~shared:
        raise Problem(
            f"{what} {path} can be read or changed by others than its owner. "
            f"If nobody has, run: chmod 600 {path}. Else make a new key."
        )
    return content


def check_directory(path: Path) -> None:
    """Raises `Problem` for a directory in which others could look, or exchange files."""
    try:
        status = os.stat(path)
    except OSError as error:
        raise Problem(f"The directory {path} cannot be used: {error.strerror}.") from None
    if not stat.S_ISDIR(status.st_mode):
        raise Problem(f"{path} is not a directory.")
    if status.st_uid != os.geteuid():
        raise Problem(
            f"The directory {path} belongs to another user (number {status.st_uid}). Start as "
            "that user, or give it to the one that runs this."
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Problem(
            f"The directory {path} can be read or changed by others than its owner. "
            f"If nobody has, run: chmod 700 {path}. Else remove it and make new keys."
        )


def credential_permissions(path: Path, environ: Mapping[str, str]) -> int:
    """The permissions of others that a systemd credential shows though nobody has them.

    For a service with `User=` systemd keeps the file root's and gives the user an entry
    of its own; the mask of such entries stands where the group's permissions would.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY")
    return stat.S_IRGRP if directory and path.parent == Path(directory) else 0


def signature(path: Path) -> Signature:
    """Changes when the file does: its content, owner, permissions, absence."""
    try:
        status = os.stat(path)
    except OSError as error:
        return (error.errno or 0,)
    identity = (status.st_dev, status.st_ino, status.st_mode, status.st_uid)
    if stat.S_ISDIR(status.st_mode):
        return identity  # What else is made in it is nothing to us.
    return (*identity, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _open_at_once(path: str, flags: int) -> int:
    """Open what may be a pipe, without waiting for a writer, or a terminal."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def _open_itself(path: str, flags: int) -> int:
    return _open_at_once(path, flags | os.O_NOFOLLOW)
