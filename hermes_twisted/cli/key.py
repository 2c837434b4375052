"""`hermes-attach key`: make, list, revoke and rotate the keys of the store."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import click

from ..access import store
from ..access.keys import Record, Same, Scope
from ..access.plaintext import Secret
from ..access.store_format import time_text
from ..config import parsing
from ..config.kinds import one_of
from ..config.option import Kind
from ..operate import tables
from ..server import attach_lines
from ..shared.problem import Problem
from .address import ServerAddress, address_options, home_of, home_option, read_address
from .commands import Command, CommandEntry, Commands, KindType

key: Final = Commands(
    "key",
    (
        CommandEntry("new", "Make a key and show it, this once.", "key:new", "NAME"),
        CommandEntry("list", "List the keys of the store; secrets are not kept.", "key:list_keys"),
        CommandEntry("revoke", "End a key: it admits nobody from now on.", "key:revoke", "NAME"),
        CommandEntry(
            "rotate",
            "Make a new secret in place of the old one, which is revoked.",
            "key:rotate",
            "NAME",
        ),
    ),
    help="Make, list, revoke and rotate keys. A running server follows at once.",
    epilog="`hermes-attach key COMMAND --help` lists a command's options.",
)


def _expiry(text: str) -> int | None:
    return parsing.lifetime(text, time.time())


_EXPIRY: Final[Kind[int | None]] = Kind("WHEN", _expiry)
_SCOPE: Final = one_of("SCOPE", *(scope.value for scope in Scope))
_NAME: Final = click.argument("names", nargs=-1, metavar="NAME")
_PRINT: Final = click.option(
    "--print", "bare", is_flag=True, help="Write the secret, and nothing else, to standard output."
)


def _disconnect(help: str) -> Callable[[Any], Any]:
    return click.option("-d", "--disconnect", is_flag=True, help=help)


@click.command("new", cls=Command)
@_NAME
@click.option(
    "-s",
    "--scope",
    type=KindType(_SCOPE),
    metavar="SCOPE",
    default="full",
    help="What it may do: full, chat or watch (default: full).",
)
@click.option(
    "-e",
    "--expires",
    type=KindType(_EXPIRY),
    metavar="WHEN",
    default="never",
    help="When it ends: 12h, 30d, 8w or a date, at 0:00 UTC (default: never).",
)
@_disconnect("When it ends, disconnect the clients that are attached with it.")
@_PRINT
@address_options
@home_option
def new(
    names: tuple[str, ...],
    scope: str,
    expires: int | None,
    disconnect: bool,
    bare: bool,
    hermes_home: str | None,
    **address: Any,
) -> None:
    """Make a key with this name, and show it. It cannot be shown again."""
    name, where = _one_name(names), read_address(**address)
    with _shown(where, bare=bare) as show:
        with store.changing(home_of(hermes_home)) as change:
            keys, record, secret = change.keys.make(
                name, Scope(scope), expires=expires, disconnect=disconnect
            )
            change.write(keys)
        show(record, secret)


@click.command("rotate", cls=Command)
@_NAME
@click.option(
    "-e",
    "--expires",
    type=KindType(_EXPIRY),
    metavar="WHEN",
    default=Same.SAME,
    help="When the new secret ends, or never (default: as the old one).",
)
@_disconnect("Disconnect the clients that are attached with the old secret.")
@_PRINT
@address_options
@home_option
def rotate(
    names: tuple[str, ...],
    expires: int | Same | None,
    disconnect: bool,
    bare: bool,
    hermes_home: str | None,
    **address: Any,
) -> None:
    """Make a new secret for the key of this name, and show it. The old one is revoked."""
    name, where = _one_name(names), read_address(**address)
    with _shown(where, bare=bare) as show:
        with store.changing(home_of(hermes_home)) as change:
            keys, record, secret = change.keys.rotate(name, disconnect=disconnect, expires=expires)
            change.write(keys)
        show(record, secret)


@click.command("revoke", cls=Command)
@_NAME
@_disconnect("Disconnect the clients that are attached with it.")
@home_option
def revoke(names: tuple[str, ...], disconnect: bool, hermes_home: str | None) -> None:
    """End the key of this name: it admits nobody from now on."""
    name = _one_name(names)
    with store.changing(home_of(hermes_home)) as change:
        change.write(change.keys.revoke(name, disconnect=disconnect))


@click.command("list", cls=Command)
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@home_option
def list_keys(as_json: bool, hermes_home: str | None) -> None:
    """List the keys of the store. Secrets are not kept."""
    records, now = store.read(home_of(hermes_home)).records, time.time()
    if as_json:
        click.echo(json.dumps([_public(record, now) for record in records], indent=1))
        return
    rows = []
    for record in records:
        expires = "never" if record.expires is None else _minute(record.expires)
        state = record.state(now).value
        rows.append((record.key.name, record.key.scope, _minute(record.created), expires, state))
    styles = ["" if row[-1] == "active" else "dim" for row in rows]
    tables.show(tables.make(("NAME", "SCOPE", "CREATED", "EXPIRES", "STATE"), rows, styles=styles))


def _one_name(names: tuple[str, ...]) -> str:
    if len(names) != 1:
        raise click.UsageError(
            "Give the key one name, such as laptop.", click.get_current_context()
        )
    return names[0]


def _public(record: Record, now: float) -> dict[str, Any]:
    """Return the public fields of a key: neither its secret nor the hash."""
    times = {"created": record.created, "expires": record.expires, "revoked": record.revoked}
    return {
        "name": record.key.name,
        "id": record.key.id,
        "scope": record.key.scope.value,
        **{name: None if at is None else time_text(at) for name, at in times.items()},
        "disconnect": record.disconnect,
        "state": record.state(now).value,
    }


@contextlib.contextmanager
def _shown(address: ServerAddress, *, bare: bool) -> Iterator[Callable[[Record, str], None]]:
    """Open the terminal or output for the secret before the key is made. Raises `Problem`.

    *bare* is for programs: the secret alone, to standard output.
    """
    with contextlib.ExitStack() as stack:
        output: TextIO = sys.stdout
        if not (bare or output.isatty()):
            try:
                output = stack.enter_context(attach_lines.open_terminal())
            except OSError:
                raise Problem(
                    "There is no terminal to show the secret on.",
                    "--print writes it to standard output instead.",
                ) from None

        def show(record: Record, secret: str) -> None:
            try:
                text = f"{secret}\n" if bare else _shown_text(address, record, secret)
                output.write(text)
                output.flush()
            except OSError as error:
                with contextlib.suppress(OSError):
                    output.close()  # Or it would try once more when it is closed later.
                raise Problem(
                    f"Key {record.key.name!r} was made, but could not be shown ({error.strerror}).",
                    f"`hermes-attach key rotate {record.key.name}` makes another.",
                ) from None

        yield show


def _shown_text(address: ServerAddress, record: Record, secret: str) -> str:
    expires = "" if record.expires is None else f", until {_minute(record.expires)} UTC"
    url = address.url(Secret(secret, "the store"))
    return (
        f"Key {record.key.name!r} (scope {record.key.scope}{expires}). It is shown this once:\n\n"
        f"  {secret}\n\n{attach_lines.paste_lines(url, every_shell=True)}"
    )


def _minute(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
