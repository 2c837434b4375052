"""`hermes-attach url`: the line that attaches a terminal UI."""

from __future__ import annotations

from pathlib import Path

import click

from ..access import api_server, keyring, plaintext, store
from ..access.plaintext import Secret
from ..config.environment import read_environment
from ..config.option import Kind
from ..server import attach_lines, settings
from .address import address_options, home_of, home_option, read_address
from .commands import Command, KindType, of_server, wrong_usage

_SHELL: Kind[str] = Kind(
    "SHELL", attach_lines.shell, choices=lambda: dict.fromkeys(attach_lines.SHELL_NAMES, "")
)


@click.command("url", cls=Command)
@address_options
@click.option(
    "--shell",
    type=KindType(_SHELL),
    metavar="SHELL",
    default="posix",
    help="The client's shell: bash, zsh, fish, powershell or cmd (default: posix).",
)
@of_server(settings.options()["key-file"], help="File with the key.")
@of_server(
    settings.options()["accept-api-server-key"],
    help="Show the line with the key of Hermes' API server.",
)
@home_option
def url(
    host: str,
    port: int,
    tls: bool,
    shell: str,
    key_file: str | None,
    accept_api_server_key: bool,
    hermes_home: str | None,
) -> None:
    """Print the line that attaches a terminal UI to this machine's server.

    It has the key in it if there is one in plaintext. Otherwise it has KEY, and a hint is
    written to standard error.
    """
    address = read_address(host, port, tls)
    with wrong_usage():
        named = Path(key_file) if key_file else None
        secret = _known_secret(home_of(hermes_home), named, api_server_key=accept_api_server_key)
    click.echo(attach_lines.export_line(address.url(secret), shell))
    if secret is None:
        click.echo(
            "hermes-attach url: put your key instead of KEY. Only hashes of keys are kept: "
            "hermes-attach key rotate NAME makes and shows a new one.",
            err=True,
        )


def _known_secret(home: Path, key_file: Path | None, *, api_server_key: bool) -> Secret | None:
    """Return a key in plaintext; None if only the key store has any, as hashes.

    Raises `Problem` if there is none, or one that the server would refuse.
    """
    environ = read_environment()
    if api_server_key:
        return api_server.read(home, environ)
    secret = plaintext.find(key_file, environ)
    if secret is None and not store.read(home).active:
        raise keyring.no_key(home, environ)
    return secret
