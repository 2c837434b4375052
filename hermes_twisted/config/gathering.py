"""Collect the values that were given for options, each with the place where it was given.

The command line wins over the environment, the environment over a file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from ..shared.problem import Problem
from .option import Option
from .table import Table, did_you_mean

#: The option that names the file; it cannot stand in the file itself.
CONFIG: Final = "config"
#: The end of every message about a wrong setting.
SEE_HELP: Final = "See `hermes-attach serve --help`."
#: Options with which people may try to pass a key. Neither exists.
KEY_OPTIONS: Final = ("--key", "--token")
KEY_IS_NO_OPTION: Final = (
    "A key is never an option: everyone on this machine could read it. If that was a real key, "
    "make another with `hermes-attach key new NAME`; or give one with --key-file."
)


class Precedence(IntEnum):
    """The places where a value can be given; the highest one wins."""

    FILE = 1
    ENVIRONMENT = 2
    COMMAND_LINE = 3


@dataclass(frozen=True)
class Given:
    """A value of an option, and where it was given."""

    value: Any
    where: str
    """As in a message: `--port`, `HERMES_ATTACH_PORT`, `port in --config /etc/attach.toml`."""
    precedence: Precedence


def collect(
    table: Table,
    given: Mapping[str, Any],
    environ: Mapping[str, str],
    more: Mapping[str, Any] | None = None,
    where: str = "",
) -> dict[str, Given]:
    """Return the values by the options' names. Raises `Problem` for one that cannot be used.

    *given* is from the command line: texts, or sequences of texts; None, false and empty
    sequences count as not given. *more* has settings as a TOML file has them, from another file,
    which *where* names in messages. Empty environment variables count as not set.
    """
    found: dict[str, Given] = {}
    config = given.get(CONFIG) or environ.get(table[CONFIG].variable)
    if config:
        found |= _from_file(table, convert(table[CONFIG], config, f"--{CONFIG}"))
    found |= _from_mapping(table, more or {}, where)
    for option in table:
        if text := environ.get(option.variable):
            value: Any = text.split() if option.repeated else text
            value = convert(option, value, option.variable)
            found[option.name] = Given(value, option.variable, Precedence.ENVIRONMENT)
    for name, value in given.items():
        if value is not None and value is not False and value not in ([], ()):
            said = f"--{name}"
            found[name] = Given(convert(table[name], value, said), said, Precedence.COMMAND_LINE)
    return found


def convert(option: Option, value: Any, where: str) -> Any:
    """Return the option's value, of a text or of texts. Raises `Problem`; *where* it was given."""
    try:
        if option.repeated:
            return tuple(option.kind.parse(item) for item in value)
        return option.kind.parse(value if isinstance(value, str) else str(value))
    except ValueError as error:
        raise Problem(f"{where} {value!r}: {error}.", SEE_HELP) from None


def _from_file(table: Table, path: Path) -> dict[str, Given]:
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(
            f"--config {path} cannot be read: {error.strerror}.",
            "Name a TOML file that the server's user can read.",
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Problem(
            f"--config {path} is not valid TOML: {error}.",
            "Write one setting a line, such as port = 8643.",
        ) from None
    return _from_mapping(table, content, f"--config {path}")


def _from_mapping(table: Table, content: Mapping[str, Any], where: str) -> dict[str, Given]:
    found = {}
    for name, value in content.items():
        option = table.get(name)
        if option is None or name == CONFIG:
            meant = None if option is not None else table.nearest(name)
            raise Problem(
                f"{where}: there is no setting {name!r}{did_you_mean(meant)}",
                f"Names are those of the options, without the dashes in front. {SEE_HELP}",
            )
        if not _fits(option, value):
            raise Problem(
                f"{where}: {name} has a value of the wrong type.",
                "Write a list of texts." if option.repeated else "Write a text or a number.",
            )
        converted = convert(option, value, f"{where}: {name} =")
        found[name] = Given(converted, f"{name} in {where}", Precedence.FILE)
    return found


def _fits(option: Option, value: Any) -> bool:
    """Return whether a value of a file is of a type that *option* takes."""
    if option.repeated:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    return isinstance(value, str | int | float | bool)
