"""A key in the clear: from a file that is named, or from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..files import credential_permissions, read_private
from ..shared.problem import Problem
from .keys import FROM_ENVIRONMENT, FROM_FILE, Key, WeakKey

VARIABLE: Final = "HERMES_ATTACH_KEY"
#: A key file is one line; more is somebody's other file.
MAX_FILE: Final = 4096
_ROOT: Final = 0


@dataclass(frozen=True)
class Secret:
    """A key in the clear, for as long as it takes to show or hash it."""

    text: str
    source: str

    def __repr__(self) -> str:
        return f"<a key from {self.source}>"

    def key(self, name: str) -> Key:
        """What admission compares with. Raises `Problem` for a weak one."""
        try:
            return Key.of(name, self.text)
        except WeakKey as weak:
            raise Problem(
                f"The key from {self.source} {weak}. Make a good one with: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
            ) from None


def find(key_file: Path | None, environ: Mapping[str, str]) -> Secret | None:
    """The key that was given, checked; None if none was. Raises `Problem`."""
    if key_file is not None:
        secret = read_key_file(key_file, environ)
        secret.key(FROM_FILE)
        return secret
    secret_given = from_environment(environ)
    if secret_given is not None:
        secret_given.key(FROM_ENVIRONMENT)
    return secret_given


def from_environment(environ: Mapping[str, str]) -> Secret | None:
    """The key in the variable `VARIABLE`, if there is one."""
    text = environ.get(VARIABLE)
    return Secret(text, VARIABLE) if text else None


def read_key_file(path: Path, environ: Mapping[str, str]) -> Secret:
    """The one secret in a file, such as a credential of systemd. Raises `Problem`."""
    shared = credential_permissions(path, environ)
    content = read_private(path, "The key file", MAX_FILE + 1, owners=(_ROOT,), shared=shared)
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > MAX_FILE or len(text.split()) != 1:
        raise Problem(f"The key file {path} does not hold one key on one line.")
    return Secret(text, str(path))
