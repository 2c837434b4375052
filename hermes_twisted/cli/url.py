"""`hermes-attach url`: the line that attaches a terminal UI."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from twisted.python import usage

from ..access import api_server, keyring, plaintext, store
from ..access.plaintext import Secret
from ..config import parsing
from ..config.environment import default_home, read_environment
from ..server import attach_lines
from ..server.attach_lines import shell
from ..server.options import DEFAULT_PORT
from ..shared.problem import Problem


def _coerced(name: str, convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """What `usage` converts a value with; its error names the option."""

    def coerce(value: str) -> Any:
        try:
            return convert(value)
        except ValueError as error:
            raise usage.UsageError(f"--{name} {value!r}: {error}.") from None

    return coerce


#: Where the server is, as options that several commands have.
ADDRESS_PARAMETERS = (
    ["host", None, "127.0.0.1", "The server's name or address, as the client sees it."],
    ["port", "p", DEFAULT_PORT, "The server's port.", _coerced("port", parsing.port)],
)
ADDRESS_FLAGS = (["tls", None, "The server speaks TLS (wss)."],)
HOME_PARAMETER = ["hermes-home", None, None, "Hermes' home directory."]
#: What may stand between quotes in every shell; the UI's parser judges the rest.
_HOST = re.compile(r"[0-9A-Za-z_.:-]+")


class _UrlOptions(usage.Options):
    synopsis = "Usage: hermes-attach url [options]"
    optParameters = (
        *ADDRESS_PARAMETERS,
        [
            "shell",
            None,
            "posix",
            "The client's shell: bash, zsh, fish, powershell or cmd.",
            _coerced("shell", shell),
        ],
        ["key-file", None, None, "File with the key."],
        HOME_PARAMETER,
    )
    optFlags = (
        *ADDRESS_FLAGS,
        ["accept-api-server-key", None, "Show the line with the key of Hermes' API server."],
    )

    def getSynopsis(self) -> str:
        """How the command is called."""
        return "Usage: hermes-attach url [options]"


def url(arguments: Sequence[str]) -> str:
    """The line to paste. Exits with 2 if there is no key or no such option.

    It has the key if that is known in the clear; else KEY stands there, and a hint is
    written to standard error.
    """
    options = _UrlOptions()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
        secret = _known_secret(options)
        line = attach_lines.export_line(address_url(options, secret), options["shell"])
    except (usage.UsageError, Problem) as problem:
        print(f"hermes-attach url: {problem}", file=sys.stderr)
        sys.exit(2)
    if secret is None:
        print(
            "hermes-attach url: put your key in the place of KEY. Only hashes of keys are kept: "
            "hermes-attach key rotate NAME makes and shows a new one.",
            file=sys.stderr,
        )
    return line


def address_url(options: usage.Options, secret: Secret | None) -> str:
    """The server's URL. Raises `usage.UsageError`."""
    host = options["host"].removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(host):
        raise usage.UsageError(f"--host {host!r}: must be a name or an address.")
    return attach_lines.attach_url(host, options["port"], secret, encrypted=bool(options["tls"]))


def home_of(options: usage.Options) -> Path:
    """Hermes' home, named or found. Raises `Problem`."""
    named = options["hermes-home"]
    if not named:
        return default_home(read_environment())
    try:
        return parsing.path(named)
    except ValueError as error:
        raise Problem(f"--hermes-home {named!r}: {error}.") from None


def _known_secret(options: usage.Options) -> Secret | None:
    """A key in the clear, refused as the server does; None if only the store has some."""
    environ: Any = read_environment()
    home = home_of(options)
    if options["accept-api-server-key"]:
        return api_server.read(home, environ)
    secret = plaintext.find(Path(options["key-file"]) if options["key-file"] else None, environ)
    if secret is None and not store.read(home).active:
        raise keyring.no_key(home, environ)
    return secret
