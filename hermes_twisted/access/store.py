"""The key store, `attach/keys.json`: checked when it is read, changed under a lock."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ..files import check_directory, locked, read_private, write_private
from ..shared.problem import Problem
from . import store_format
from .keys import Keys

#: Seconds that a change waits for another process that changes the store.
LOCK_TIMEOUT: Final = 10.0

#: Returns the time in seconds since 1970.
Clock = Callable[[], float]


def store_path(home: Path) -> Path:
    """Return the path of the key store in a Hermes home."""
    return home / "attach" / "keys.json"


def former_path(home: Path) -> Path:
    """Return the path of the plaintext key of versions before the first release."""
    return home / "attach" / "key"


def read(home: Path, now: Clock = time.time) -> Keys:
    """Read the keys of the store; none if there is no store. Raises `Problem`."""
    path = store_path(home)
    if not os.path.lexists(path):
        return Keys(now)
    check_directory(path.parent)
    text = read_private(path, "The key store", store_format.MAX_BYTES + 1, follow=False)
    try:
        return store_format.load(text, now)
    except Problem as bad:
        raise Problem(
            f"The key store {path} cannot be used: {bad.what}.",
            "Correct that, or move the file away and make new keys.",
        ) from None


@contextlib.contextmanager
def changing(home: Path, now: Clock = time.time) -> Iterator[Change]:
    """Lock the store for a `with` block, and read it. Raises `Problem`.

    Creates the directory if it is missing. Blocks for up to `LOCK_TIMEOUT` seconds while another
    process changes the store.
    """
    path = store_path(home)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise Problem(f"{path.parent} cannot be created: {error.strerror}.") from None
    check_directory(path.parent)
    with locked(path.with_name("keys.lock"), LOCK_TIMEOUT):
        yield Change(path, read(home, now))


class Change:
    """A locked store: `keys` are its keys, `write` replaces them."""

    def __init__(self, path: Path, keys: Keys) -> None:
        self.keys = keys
        self._path = path

    def write(self, keys: Keys) -> None:
        """Atomically replace the keys. Raises `Problem`."""
        try:
            write_private(self._path, store_format.dump(keys))
        except OSError as error:
            raise Problem(f"{self._path} cannot be written: {error.strerror}.") from None
        self.keys = keys
