"""Options as fields of dataclasses.

A field that is made with `option`, `optional`, `repeated`, `flag` or `required` has a kind, a
help text and a group beside its default. Its name is the option's, with dashes for underscores.
From the fields come the command line, the names in the environment and in files, the help, and
the reference documentation: see `options_of` and `config.table`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass
from enum import StrEnum
from typing import Any, Final, Generic, TypeVar, cast

T = TypeVar("T")

ENVIRONMENT_PREFIX: Final = "HERMES_ATTACH_"
_KEY: Final = "option"


class Group(StrEnum):
    """Groups of options, in the order in which help and documentation show them."""

    LISTENING = "Listening"
    TLS = "TLS"
    KEYS = "Keys"
    HERMES = "Hermes"
    CONNECTIONS = "Keeping and closing connections"
    OPERATION = "Logs, audit, metrics, control"
    BEFORE_ADMISSION = "Limits before admission"
    ADMITTED = "Limits of admitted clients"
    FILE = "Settings file"


@dataclass(frozen=True)
class Kind(Generic[T]):
    """A kind of value: what stands for it in a help text, how it is read and written."""

    metavar: str
    """In capitals: `SIZE`, `TIME`. Empty for a flag, which takes no value."""
    parse: Callable[[str], T]
    """Returns the value of a text. Raises `ValueError`, which says what is allowed."""
    write: Callable[[Any], str] = str
    """Returns a value's text as an operator would write it."""
    choices: Callable[[], Mapping[str, str]] | None = None
    """Returns the allowed texts, each with a note, which may be empty; None if any may do."""


@dataclass(frozen=True)
class Option:
    """One option, as its field declares it."""

    field: str
    """The field's name."""
    kind: Kind[Any]
    help: str
    """What it does, with its unit, as a sentence without a full stop."""
    group: Group
    default: Any
    """None if there is none, as for a required option."""
    default_text: str = ""
    """The default in words, where the value itself would not explain it."""
    short: str | None = None
    repeated: bool = False
    required: bool = False

    @property
    def name(self) -> str:
        """The name on the command line, without the dashes in front, and in a file."""
        return self.field.replace("_", "-")

    @property
    def variable(self) -> str:
        """The name in the environment."""
        return variable(self.name)

    @property
    def flag(self) -> bool:
        """Whether it takes no value on the command line."""
        return not self.kind.metavar

    @property
    def default_in_words(self) -> str:
        """The default as an operator would write it; empty if there is none."""
        if self.default_text:
            return self.default_text
        if self.default is None or self.repeated or self.flag:
            return ""
        return self.kind.write(self.default)

    @property
    def help_text(self) -> str:
        """The help as a sentence, with the choices and the default."""
        text = self.help
        if self.kind.choices is not None:
            choices = self.kind.choices().items()
            noted = tuple(f"{name} ({note})" if note else name for name, note in choices)
            text += f": {in_words(noted, 'or')}"
        if self.repeated:
            text += ". May be repeated"
        default = self.default_in_words
        return f"{text} (default: {default})." if default else f"{text}."


def variable(name: str) -> str:
    """Return an option's name in the environment."""
    return ENVIRONMENT_PREFIX + name.upper().replace("-", "_")


def in_words(names: tuple[str, ...], conjunction: str) -> str:
    """Return an enumeration, such as `a, b or c`."""
    *most, last = names
    return f"{', '.join(most)} {conjunction} {last}" if most else last


# These return fields, but are typed as the option's value, as `dataclasses.field` itself is.


def option(
    default: T,
    kind: Kind[T],
    *,
    help: str,
    group: Group,
    short: str | None = None,
    default_text: str = "",
) -> T:
    """Declare an option with a default."""
    declared = _Declared(kind, help, group, default_text, short)
    return dataclasses.field(default=default, metadata={_KEY: declared})


def optional(
    kind: Kind[T], *, help: str, group: Group, short: str | None = None, default_text: str = ""
) -> T | None:
    """Declare an option that is None unless it is given."""
    declared = _Declared(kind, help, group, default_text, short)
    return cast("T | None", dataclasses.field(default=None, metadata={_KEY: declared}))


def required(kind: Kind[T], *, help: str, group: Group, default_text: str = "") -> T:
    """Declare an option without a default: it must be given, or computed by the caller."""
    declared = _Declared(kind, help, group, default_text)
    return cast(T, dataclasses.field(metadata={_KEY: declared}))


def repeated(kind: Kind[T], *, help: str, group: Group, short: str | None = None) -> tuple[T, ...]:
    """Declare an option that may be given several times."""
    declared = _Declared(kind, help, group, short=short, repeated=True)
    return cast("tuple[T, ...]", dataclasses.field(default=(), metadata={_KEY: declared}))


def flag(*, help: str, group: Group) -> bool:
    """Declare an option that is off unless it is given."""
    declared = _Declared(FLAG, help, group)
    return dataclasses.field(default=False, metadata={_KEY: declared})


_FLAGS: Final = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def _parse_flag(value: str) -> bool:
    try:
        return _FLAGS[value.lower()]
    except KeyError:
        raise ValueError("must be true or false") from None


FLAG: Final[Kind[bool]] = Kind("", _parse_flag, lambda value: "yes" if value else "no")


@dataclass(frozen=True)
class _Declared:
    """The part of an `Option` that is kept in its field's metadata."""

    kind: Kind[Any]
    help: str
    group: Group
    default_text: str = ""
    short: str | None = None
    repeated: bool = False


def options_of(owner: type) -> tuple[Option, ...]:
    """Return the options that the dataclass *owner* declares, in its order."""
    found = []
    for field in dataclasses.fields(owner):
        declared: _Declared | None = field.metadata.get(_KEY)
        if declared is not None:
            missing = field.default is MISSING
            found.append(
                Option(
                    field=field.name,
                    kind=declared.kind,
                    help=declared.help,
                    group=declared.group,
                    default=None if missing else field.default,
                    default_text=declared.default_text,
                    short=declared.short,
                    repeated=declared.repeated,
                    required=missing,
                )
            )
    return tuple(found)
