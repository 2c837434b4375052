"""Options that several commands share: the server's address, and the Hermes home."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import click

from ..access.plaintext import Secret
from ..config.environment import default_home, read_environment
from ..config.gathering import convert
from ..config.kinds import PORT
from ..server import attach_lines, settings
from ..server.settings import DEFAULT_PORT
from .commands import F, KindType, of_server

#: Characters that are safe between the quotes of every shell; the UI's parser checks the rest.
_HOST: Final = re.compile(r"[0-9A-Za-z_.:-]+")


@dataclass(frozen=True)
class ServerAddress:
    """The server's address, as the client sees it."""

    host: str
    port: int
    tls: bool

    def url(self, secret: Secret | None) -> str:
        """Return the server's URL with its key; KEY stands for a key that is not known."""
        return attach_lines.attach_url(self.host, self.port, secret, encrypted=self.tls)


def address_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options --host, --port and --tls."""
    for decorate in (
        click.option("--tls", is_flag=True, help="The server speaks TLS (wss)."),
        of_server(
            settings.options()["port"],
            help=f"The server's port (default: {DEFAULT_PORT}).",
            type=KindType(PORT),
            default=DEFAULT_PORT,
        ),
        click.option(
            "--host",
            metavar="HOST",
            default="127.0.0.1",
            help="The server's name or address, as the client sees it (default: 127.0.0.1).",
        ),
    ):
        function = decorate(function)
    return function


def home_option(function: F) -> F:
    """Give a command the option --hermes-home."""
    return of_server(settings.options()["hermes-home"])(function)


def read_address(host: str, port: int, tls: bool) -> ServerAddress:
    """Return the address. Raises `click.UsageError` for a host that is not safe in a shell."""
    plain = host.removeprefix("[").removesuffix("]")
    if not _HOST.fullmatch(plain):
        raise click.UsageError(
            f"--host {host!r}: must be a name or an address.", click.get_current_context()
        )
    return ServerAddress(plain, port, tls)


def home_of(named: str | None) -> Path:
    """Return the Hermes home, *named* or found. Raises `Problem`."""
    if not named:
        return default_home(read_environment())
    path: Path = convert(settings.options()["hermes-home"], named, "--hermes-home")
    return path
