"""Options as a help text, in groups: for `hermes-attach` and for twistd."""

from __future__ import annotations

from collections.abc import Iterable

from click import HelpFormatter

from .option import Group, Option


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
