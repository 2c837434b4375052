"""Make the pages of docs/reference/ from the options, the commands and the scope table.

`python -m tools.reference`, or `make reference`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
from unittest import mock

from hermes_twisted.access.scope_table import TABLE
from hermes_twisted.cli.main import main
from hermes_twisted.config.option import Option
from hermes_twisted.rpc import URGENT_METHODS, URGENT_SUFFIX
from hermes_twisted.seats.calls import group_of
from hermes_twisted.server import settings
from tests.conftest import ROOT

REFERENCE = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make reference`; a test compares. Do not edit. -->"

#: Commands whose `--help` is shown; `serve` and `demo` take the options of the other page.
COMMANDS = (
    "key", "key new", "key list", "key revoke", "key rotate", "url", "status", "top", "kick",
    "install-service", "doctor", "completion",
)  # fmt: skip


def options() -> str:
    """Return the page of options: each with its names, its default, its meaning."""
    lines = [MADE, "", "# Options", "", OPTIONS_INTRODUCTION.strip(), ""]
    for group, declared in settings.options().groups():
        lines += [f"## {group}", "", "| Option | Environment | Default | Meaning |"]
        lines += ["|---|---|---|---|", *map(_row, declared), ""]
    return "\n".join(lines)


OPTIONS_INTRODUCTION = """
Options of `hermes-attach serve` and `twistd hermes-attach`. Each can also be set in the
environment, under the name in the second column, or in a TOML file that `--config` names, under its
own name without the dashes: `max-message = "32m"`. The command line wins over the environment, the
environment over the file, the file over the default. An empty variable counts as none.

- Sizes are bytes, or end in `k`, `m` or `g` (1024 each): `512k`.
- Times are seconds, or end in `s`, `m` or `h`: `90s`, `15m`.
- Several values of one option are separated by blanks in the environment, and a list in the file:
  `allow-host = ["attach.example.org"]`.
- Flags take no value on the command line; elsewhere `1`, `true`, `yes`, or `0`, `false`, `no`.

Settings that contradict each other are refused, wherever they were given: `--port` beside
`--listen`, `--no-audit` beside `--audit-file`. So is an option of another backend, unless
`--backend` itself was given where it wins over that option: on the command line, with the option in
the environment. A name that does not exist is refused on the command line and in the file. In the
environment, which programs share, it is logged as a warning, and ignored.

A key is never an option, nor a setting of the file: [keys](../security.md#keys) says where they
come from.
"""


def _row(option: Option) -> str:
    short = f", `-{option.short}`" if option.short else ""
    cells = [
        f"`--{option.name}`{short}",
        f"`{option.variable}`",
        _default(option),
        _meaning(option),
    ]
    return "| " + " | ".join(cells) + " |"


def _default(option: Option) -> str:
    if option.flag:
        return "`no`"
    if option.default_text:
        return _text(option.default_text)
    return f"`{option.default_in_words}`" if option.default_in_words else ""


def _meaning(option: Option) -> str:
    return _text(dataclasses.replace(option, default=None, default_text="").help_text)


def _text(text: str) -> str:
    """Return help as Markdown: nothing in it is meant as markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def commands() -> str:
    """Return the page of commands: what `--help` of each says."""
    lines = [MADE, "", "# Commands", "", COMMANDS_INTRODUCTION.strip(), ""]
    lines += ["```text", _help(), "```", ""]
    for command in COMMANDS:
        lines += [f"## {command}", "", "```text", _help(*command.split()), "```", ""]
    return "\n".join(lines)


COMMANDS_INTRODUCTION = """
What `hermes-attach --help`, and `--help` after each command, say. `serve` and `demo` take the
[options of the server](options.md). Where Hermes has this project as a plugin,
`hermes attach COMMAND` is the same ([in-gateway.md](../in-gateway.md)).
"""


def _help(*command: str) -> str:
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, {"COLUMNS": "90"}),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*command, "--help"])
    lines = [line.rstrip() for line in printed.getvalue().strip().splitlines()]
    return "\n".join(lines)


def methods() -> str:
    """Return the page of methods: each with the row of the scope table that decides on it."""
    rows = []
    for row in TABLE:
        for method in row.methods:
            counted = "" if method.endswith(".*") else f"`{group_of(method)}`"
            cells = [f"`{method}`", row.description, str(row.chat), str(row.watch)]
            rows.append([*cells, "urgent" if _urgent(method) else "", counted])
    head = ["Method", "Belongs to", "`chat`", "`watch`", "Lane", "Counted as"]
    table = [head, ["---"] * len(head), *sorted(rows, key=_order)]
    lines = ["| " + " | ".join(row) + " |" for row in table]
    return "\n".join([MADE, "", "# Methods", "", METHODS_INTRODUCTION.strip(), "", *lines, ""])


METHODS_INTRODUCTION = """
JSON-RPC methods of Hermes 0.14 to 0.19 that this server knows by name. It passes on every method,
known or not, for keys of scope `full`; what `chat` and `watch` may call is decided by this table.
[scopes.md](../scopes.md) has it by purpose, and says what the scopes mean and do not promise. A
name that ends in `.*` stands for all of that family without a row of their own; what no row
names is denied to `chat` and `watch`.

*Lane*: urgent requests overtake those that wait
([protocol.md](../protocol.md#frames)). *Counted as*: the label `group` of the metrics
([metrics.md](../metrics.md)).
"""


def _order(row: list[str]) -> tuple[str, bool, str]:
    name = row[0].strip("`")
    return name.partition(".")[0], name.endswith(".*"), name


def _urgent(method: str) -> bool:
    return method in URGENT_METHODS or method.endswith(URGENT_SUFFIX)


PAGES = {"options.md": options, "commands.md": commands, "methods.md": methods}


if __name__ == "__main__":
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        (REFERENCE / name).write_text(make(), encoding="utf-8")
        print(f"docs/reference/{name}")
