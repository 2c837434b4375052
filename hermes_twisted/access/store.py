"""The file of keys, `keys.json`: read with suspicion, changed by one at a time."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..files import check_directory, read_private
from ..shared.problem import Problem
from . import store_format
from .keys import Keys

#: How long a change waits for another that is under way, in seconds.
PATIENCE: Final = 10.0
_POLL: Final = 0.02
_TEMPORARY: Final = ".keys-"

Clock = Callable[[], float]


def store_path(home: Path) -> Path:
    """Where the keys are, for a home of Hermes."""
    return home / "attach" / "keys.json"


def former_path(home: Path) -> Path:
    """Where versions before the first release kept one key in the clear."""
    return home / "attach" / "key"


def read(home: Path, now: Clock = time.time) -> Keys:
    """The keys of the store, none if there is no store. Raises `Problem`."""
    path = store_path(home)
    if not os.path.lexists(path):
        return Keys(now)
    check_directory(path.parent)
    text = read_private(path, "The key store", store_format.MAX_BYTES + 1, follow=False)
    try:
        return store_format.load(text, now)
    except store_format.BadKeyFile as bad:
        raise Problem(
            f"The key store {path} cannot be used: {bad}. Correct that, or move the file away "
            "and make new keys."
        ) from None


@contextlib.contextmanager
def changing(home: Path, now: Clock = time.time) -> Iterator[Change]:
    """The store for one change: nobody else changes it meanwhile. Raises `Problem`."""
    path = store_path(home)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{path.parent} cannot be made: {error.strerror}.") from None
    check_directory(path.parent)
    with _lock(path.parent):
        yield Change(path, read(home, now))


class Change:
    """A store that is locked: its keys, and the way to write others."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.keys = keys
        self._path = path

    def write(self, keys: Keys) -> None:
        """Replace the keys, all or nothing, whatever happens meanwhile. Raises `Problem`."""
        directory = self._path.parent
        temporary = directory / f"{_TEMPORARY}{secrets.token_hex(8)}"
        try:
            _sweep(directory)
            descriptor = os.open(
                temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600
            )
            with os.fdopen(descriptor, "wb") as file:
                file.write(store_format.dump(keys))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            _sync(directory)
        except OSError as error:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise Problem(f"{self._path} cannot be written: {error.strerror}.") from None
        self.keys = keys


def _sweep(directory: Path) -> None:
    """Remove what a change left that was killed; none is under way, for we have the lock."""
    for left in directory.glob(f"{_TEMPORARY}*"):
        left.unlink()


def _sync(directory: Path) -> None:
    """Make the new name last through a loss of power."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[None]:
    path = directory / "keys.lock"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Problem(f"{path} cannot be opened: {error.strerror}.") from None
    try:
        end = time.monotonic() + PATIENCE
        while not _try_lock(descriptor, path):
            if time.monotonic() > end:
                raise Problem(
                    f"Another program has been changing the keys for {PATIENCE:.0f} s (it holds "
                    f"{path}). Try again when it is done."
                )
            time.sleep(_POLL)
        yield
    finally:
        os.close(descriptor)  # Ends the lock.


def _try_lock(descriptor: int, path: Path) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EINTR):
            return False
        raise Problem(f"{path} cannot be locked: {error.strerror}.") from None
    return True
