"""Keys in the clear: from a key file, or from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ..files import credential_permissions, read_private
from ..shared.problem import Problem
from .keys import FROM_ENVIRONMENT, FROM_FILE, Key, weakness

VARIABLE: Final = "HERMES_ATTACH_KEY"
#: The most bytes of a key file, which has one line. A larger file was named by mistake.
MAX_FILE: Final = 4096
_ROOT: Final = 0


@dataclass(frozen=True)
class Secret:
    """A plaintext key. Its `repr` does not contain it."""

    text: str
    origin: str
    """The place where it was found, for people."""

    def __repr__(self) -> str:
        return f"<a key from {self.origin}>"

    def key(self, name: str) -> Key:
        """Return the key *name* with the hash of this secret. Raises `Problem` if it is weak."""
        if weak := weakness(self.text):
            raise Problem(
                f"The key from {self.origin} {weak}.",
                "Make a good one with: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        return Key.of(name, self.text)


def find(key_file: Path | None, environ: Mapping[str, str]) -> Secret | None:
    """Return the key in the key file, else the one in the environment; None if there is none.

    Raises `Problem` if the key is weak, or the file cannot be trusted.
    """
    if key_file is not None:
        secret = read_key_file(key_file, environ)
        secret.key(FROM_FILE)
        return secret
    secret_given = from_environment(environ)
    if secret_given is not None:
        secret_given.key(FROM_ENVIRONMENT)
    return secret_given


def from_environment(environ: Mapping[str, str]) -> Secret | None:
    """Return the key in the variable `VARIABLE`, None if that is unset or empty."""
    text = environ.get(VARIABLE)
    return Secret(text, VARIABLE) if text else None


def read_key_file(path: Path, environ: Mapping[str, str]) -> Secret:
    """Read a file with one key, such as a credential of systemd. Raises `Problem`."""
    shared = credential_permissions(path, environ)
    content = read_private(path, "The key file", MAX_FILE + 1, owners=(_ROOT,), shared=shared)
    try:
        text = content.decode("ascii").strip()
    except UnicodeDecodeError:
        text = ""
    if not text or len(content) > MAX_FILE or len(text.split()) != 1:
        raise Problem(
            f"The key file {path} does not have one key on one line.",
            "Write one there; `openssl rand -hex 32` makes it.",
        )
    return Secret(text, str(path))
