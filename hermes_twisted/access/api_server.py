"""The key of Hermes' API server, read where Hermes reads it and checked by Hermes' rule.

`API_SERVER_KEY` is taken from the process's environment, which `.env` in the Hermes home overrides;
without one, `platforms.api_server.extra.key` of `config.yaml`. Secrets from other places that
Hermes supports (vaults, an administrator's own `.env`) are not read and do not admit.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml
from dotenv import dotenv_values

from ..files import read_private
from ..shared.problem import Problem
from .keys import FROM_API_SERVER, MIN_LENGTH, Key, digest_of
from .plaintext import Secret

VARIABLE: Final = "API_SERVER_KEY"
#: The most bytes of `.env`, and of `config.yaml`.
MAX_FILE: Final = 4 * 1024 * 1024
#: Values that Hermes treats as no key (`hermes_cli.auth.has_usable_secret`), in lower case.
PLACEHOLDERS: Final = frozenset(
    {
        "*",
        "**",
        "***",
        "changeme",
        "your_api_key",
        "your_api_key_here",
        "your-api-key",
        "placeholder",
        "example",
        "dummy",
        "null",
        "none",
    }
)
_ROOT: Final = 0


def paths(home: Path) -> tuple[Path, ...]:
    """Return the files that may contain the key, in order of precedence."""
    return home / ".env", home / "config.yaml"


def read(home: Path, environ: Mapping[str, str]) -> Secret:
    """Return the key that Hermes would use. Raises `Problem` if there is none, or a weak one."""
    dotenv, config = paths(home)
    value, origin = environ.get(VARIABLE), f"{VARIABLE} in the environment"
    if os.path.lexists(dotenv):
        found = _from_dotenv(dotenv)
        if found is not None:
            value, origin = found, f"{VARIABLE} in {dotenv}"
        # Hermes strips non-ASCII characters from every key once it has read the file.
        value = value and value.encode("ascii", "ignore").decode()
    if value:
        return _checked(value, origin)
    key = _from_config(config) if os.path.lexists(config) else None
    if key in (None, ""):
        raise Problem(
            f"--accept-api-server-key: there is no {VARIABLE} in {dotenv} or in the environment, "
            f"and no platforms.api_server.extra.key in {config}.",
            "Set one there, or leave the option out.",
        )
    return _checked(key, f"platforms.api_server.extra.key in {config}")


def key_of(secret: Secret) -> Key:
    """Return the key whose hash admits *secret*."""
    return Key(FROM_API_SERVER, digest_of(secret.text.encode()), id=FROM_API_SERVER)


def _checked(value: Any, origin: str) -> Secret:
    """Check *value* by the rule of Hermes 0.18, for all releases. Raises `Problem`."""
    if not isinstance(value, str):
        raise Problem(f"The API server's key, {origin}, is not text.", "Put it in quotes.")
    cleaned = value.strip()
    if len(cleaned) < MIN_LENGTH or cleaned.lower() in PLACEHOLDERS:
        raise Problem(
            f"The API server's key, {origin}, is too weak to guard a shell: Hermes and this "
            f"server ask for {MIN_LENGTH} characters or more.",
            "Make one with: openssl rand -hex 32",
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Problem(
            f"The API server's key, {origin}, is not valid text.",
            "Make one with: openssl rand -hex 32",
        ) from None
    return Secret(value, origin)


def _from_dotenv(path: Path) -> str | None:
    """Return the variable's value in a `.env` file, None if it is not set there."""
    content = read_private(path, "Hermes' file", MAX_FILE, owners=(_ROOT,))
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return dotenv_values(stream=io.StringIO(text)).get(VARIABLE)


def _from_config(path: Path) -> Any:
    """Return the value in `config.yaml`, which may be of any type; None if there is none."""
    content = read_private(path, "Hermes' file", MAX_FILE, owners=(_ROOT,))
    try:
        config = yaml.safe_load(content.decode())
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        # The parser's message is left out: it quotes the file.
        raise Problem(
            f"{path} is not valid YAML: the API server's key cannot be read.",
            "Correct the file, or leave --accept-api-server-key out.",
        ) from None
    value = None
    # Hermes reads both places; the second takes precedence.
    for section in (_inside(config, "gateway"), config):
        extra = _inside(_inside(_inside(section, "platforms"), "api_server"), "extra")
        if isinstance(extra, dict) and "key" in extra:
            value = extra["key"]
    return value


def _inside(mapping: Any, name: str) -> Any:
    return mapping.get(name) if isinstance(mapping, dict) else None
