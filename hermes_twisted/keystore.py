"""Where the key comes from: a file, the environment, or made on first use."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .core.keys import Key, WeakKey, new_secret

VARIABLE: Final = "HERMES_ATTACH_KEY"
#: A key file is one line; more is somebody's other file.
MAX_FILE: Final = 4096


class BadKey(Exception):
    """No usable key; the text says why and what to do, and never the key."""


@dataclass(frozen=True)
class Secret:
    """A key in the clear, for as long as it takes to show or hash it."""

    text: str
    source: str

    def __repr__(self) -> str:
        return f"<a key from {self.source}>"

    def keyring(self) -> Key:
        """What admission compares with. Raises `BadKey` for a weak one."""
        try:
            return Key.of("default", self.text)
        except WeakKey as weak:
            raise BadKey(
                f"The key from {self.source} {weak}. Make a good one with: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            ) from None


def default_path(home: Path) -> Path:
    """Where a key of our own making is kept."""
    return home / "attach" / "key"


def find(key_file: Path | None, environ: Mapping[str, str], home: Path) -> Secret | None:
    """The key that was given, or made before; None if there is none. Raises `BadKey`."""
    if key_file is not None:
        return _read(key_file)
    if text := environ.get(VARIABLE):
        return Secret(text, VARIABLE)
    path = default_path(home)
    return _read(path) if os.path.lexists(path) else None


def make(home: Path) -> Secret:
    """A new key, in a new file that only its owner can read. Raises `BadKey`."""
    path = default_path(home)
    secret = new_secret()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secret + "\n")
    except OSError as error:
        raise BadKey(
            f"A key cannot be written to {path}: {error.strerror}. Correct that, or give "
            "one with --key-file."
        ) from None
    return Secret(secret, str(path))


def _read(path: Path) -> Secret:
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(MAX_FILE + 1) if stat.S_ISREG(mode) else b""
    except OSError as error:
        raise BadKey(f"The key file {path} cannot be read: {error.strerror}.") from None
    if not stat.S_ISREG(mode):
        raise BadKey(f"The key file {path} is not a regular file.")
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise BadKey(
            f"The key file {path} can be read or changed by others than its owner. "
            f"If nobody has, run: chmod 600 {path}. Else make a new key."
        )
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > MAX_FILE or len(text.split()) != 1:
        raise BadKey(f"The key file {path} does not hold one key on one line.")
    return Secret(text, str(path))


def _open_at_once(path: str, flags: int) -> int:
    """Open what may be a pipe, without waiting for a writer, or a terminal."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)
