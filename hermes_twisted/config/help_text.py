"""Options as a help text, in groups: for `hermes-attach` and for twistd."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from click import HelpFormatter

from .option import Group, Option

#: Replaces hyphens while lines are broken; a private character, which no help text has.
_HYPHEN: Final = "\ue000"


class Formatter(HelpFormatter):
    """Breaks lines between words only: the names of options are copied from here."""

    def write(self, string: str) -> None:
        """Write *string*, with its hyphens restored."""
        super().write(string.replace(_HYPHEN, "-"))

    def write_text(self, text: str) -> None:
        """Write *text*, with its lines broken."""
        super().write_text(text.replace("-", _HYPHEN))

    def write_dl(
        self, rows: Iterable[tuple[str, str]], col_max: int = 30, col_spacing: int = 2
    ) -> None:
        """Write *rows* in two columns, with the lines of the second broken."""
        unbroken = [(first, second.replace("-", _HYPHEN)) for first, second in rows]
        super().write_dl(unbroken, col_max, col_spacing)


def write_groups(
    formatter: HelpFormatter, groups: Iterable[tuple[Group, Iterable[Option]]]
) -> None:
    """Write the options of each group, with a heading above them."""
    for group, options in groups:
        with formatter.section(group):
            formatter.write_dl([(synopsis(option), option.help_text) for option in options])


def synopsis(option: Option) -> str:
    """Return how the option is written, such as `-p, --port PORT`."""
    names = f"-{option.short}, --{option.name}" if option.short else f"--{option.name}"
    return names if option.flag else f"{names} {option.kind.metavar}"
