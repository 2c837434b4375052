"""`hermes-attach key`: make, list, revoke and rotate the keys of the store."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from twisted.python import usage

from ..access import store
from ..access.keys import Record, Same, Scope
from ..access.plaintext import Secret
from ..access.store_format import time_text
from ..config import parsing
from ..server import attach_lines
from ..shared.problem import Problem
from .url import ADDRESS_FLAGS, ADDRESS_PARAMETERS, HOME_PARAMETER, address_url, home_of
from .usage import Interspersed

USAGE: Final = """\
Usage: hermes-attach key COMMAND [options]

  new NAME       make a key and show it, this once
  list           what keys there are; the secrets themselves are not kept
  revoke NAME    end a key: it admits nobody from now on
  rotate NAME    a new secret in place of the old one, which is revoked

A running server follows at once. `hermes-attach key COMMAND --help` lists a command's
options."""

_DISCONNECT: Final = "End its links as well when it {}: those that are attached with it."
_SHOWING: Final = (
    ["print", None, "Write the secret, and nothing else, to standard output."],
    *ADDRESS_FLAGS,
)


class _Options(Interspersed):
    """A command on the store."""

    command = ""
    optParameters: Any = (HOME_PARAMETER,)

    def getSynopsis(self) -> str:
        """How the command is called."""
        return f"Usage: hermes-attach key {self.command} [options]"


class _Named(_Options):
    def parseArgs(self, *names: str) -> None:
        """The one argument."""
        if len(names) != 1:
            raise usage.UsageError("give the key one name, such as laptop.")
        (self["name"],) = names


class _New(_Named):
    command = "new NAME"
    optParameters = (
        ["scope", "s", "full", "What it is good for: full, chat or watch."],
        ["expires", "e", "never", "When it ends: 12h, 30d, 8w or a date (0:00 UTC)."],
        HOME_PARAMETER,
        *ADDRESS_PARAMETERS,
    )
    optFlags = (["disconnect", "d", _DISCONNECT.format("ends")], *_SHOWING)


class _List(_Options):
    command = "list"
    optFlags = (["json", None, "As JSON."],)


class _Revoke(_Named):
    command = "revoke NAME"
    optFlags = (["disconnect", "d", _DISCONNECT.format("is revoked")],)


class _Rotate(_Named):
    command = "rotate NAME"
    optParameters = (
        ["expires", "e", None, "When the new secret ends, or never (default: as the old one)."],
        HOME_PARAMETER,
        *ADDRESS_PARAMETERS,
    )
    optFlags = (["disconnect", "d", "End the links of the old secret."], *_SHOWING)


def key(arguments: Sequence[str]) -> None:
    """Run one command. Exits with 1 if it cannot be done, with 2 for wrong usage."""
    command, *rest = list(arguments) or ["--help"]
    if command in ("--help", "-h", "help"):
        print(USAGE)
        return
    if command not in _COMMANDS:
        _fail(f"{command}: there is no such command; there are new, list, revoke and rotate.", 2)
    kind, run = _COMMANDS[command]
    options = kind()
    try:
        options.parseOptions(rest)
        run(options)
    except usage.UsageError as problem:
        _fail(f"{command}: {problem}", 2)
    except Problem as problem:
        _fail(f"{command}: {problem}", 1)


def _fail(message: str, status: int) -> None:
    print(f"hermes-attach key {message}", file=sys.stderr)
    sys.exit(status)


def _new(options: usage.Options) -> None:
    scope, expires = _scope(options["scope"]), _expires(options["expires"])
    address_url(options, None)  # Refused before there is a key.
    with _shown(options) as show:
        with store.changing(home_of(options)) as change:
            keys, record, secret = change.keys.make(
                options["name"], scope, expires=expires, disconnect=bool(options["disconnect"])
            )
            change.write(keys)
        show(record, secret)


def _rotate(options: usage.Options) -> None:
    expires = Same.SAME if options["expires"] is None else _expires(options["expires"])
    address_url(options, None)
    with _shown(options) as show:
        with store.changing(home_of(options)) as change:
            keys, record, secret = change.keys.rotate(
                options["name"], disconnect=bool(options["disconnect"]), expires=expires
            )
            change.write(keys)
        show(record, secret)


def _revoke(options: usage.Options) -> None:
    with store.changing(home_of(options)) as change:
        change.write(change.keys.revoke(options["name"], disconnect=bool(options["disconnect"])))


def _list(options: usage.Options) -> None:
    records, now = store.read(home_of(options)).records, time.time()
    if options["json"]:
        print(json.dumps([_public(record, now) for record in records], indent=1))
        return
    rows = [("NAME", "SCOPE", "CREATED", "EXPIRES", "STATE")]
    for record in records:
        expires = "never" if record.expires is None else _minute(record.expires)
        state = record.state(now).value
        rows.append((record.key.name, record.key.scope, _minute(record.created), expires, state))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        print("  ".join(map(str.ljust, row, widths)).rstrip())


def _public(record: Record, now: float) -> dict[str, Any]:
    """What may be known of a key: neither its secret nor the hash."""
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
def _shown(options: usage.Options) -> Iterator[Callable[[Record, str], None]]:
    """Where the secret will be shown, made sure of before there is one."""
    with contextlib.ExitStack() as stack:
        output: TextIO = sys.stdout
        if not (options["print"] or output.isatty()):
            try:
                output = stack.enter_context(attach_lines.open_terminal())
            except OSError:
                raise Problem(
                    "there is no terminal to show the secret on; --print writes it to standard "
                    "output instead."
                ) from None

        def show(record: Record, secret: str) -> None:
            try:
                text = f"{secret}\n" if options["print"] else _shown_text(options, record, secret)
                output.write(text)
                output.flush()
            except OSError as error:
                with contextlib.suppress(OSError):
                    output.close()  # Or it would try once more when it is closed later.
                raise Problem(
                    f"key {record.key.name!r} was made, but could not be shown "
                    f"({error.strerror}): `key rotate {record.key.name}` makes another."
                ) from None

        yield show


def _shown_text(options: usage.Options, record: Record, secret: str) -> str:
    expires = "" if record.expires is None else f", until {_minute(record.expires)} UTC"
    url = address_url(options, Secret(secret, "the store"))
    return (
        f"Key {record.key.name!r} (scope {record.key.scope}{expires}). It is shown this once:\n\n"
        f"  {secret}\n\n{attach_lines.paste_lines(url, every_shell=True)}"
    )


def _scope(text: str) -> Scope:
    try:
        return Scope(text)
    except ValueError:
        raise usage.UsageError(f"--scope {text!r}: must be full, chat or watch.") from None


def _expires(text: str) -> int | None:
    try:
        return parsing.lifetime(text, time.time())
    except ValueError as error:
        raise usage.UsageError(f"--expires {text!r}: {error}.") from None


def _minute(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")


_COMMANDS: Final[dict[str, tuple[type[_Options], Callable[[usage.Options], None]]]] = {
    "new": (_New, _new),
    "list": (_List, _list),
    "revoke": (_Revoke, _revoke),
    "rotate": (_Rotate, _rotate),
}
