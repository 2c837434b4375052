"""Makes the pages of docs/reference/ from the options, the commands and the scope table.

`python -m tools.reference`, or `make reference`.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from unittest import mock

from hermes_twisted.access.scope_table import TABLE
from hermes_twisted.cli.main import main
from hermes_twisted.config.option import ENVIRONMENT_PREFIX, Option
from hermes_twisted.config.parsing import seconds, size, some_seconds
from hermes_twisted.rpc import URGENT_METHODS, URGENT_SUFFIX
from hermes_twisted.seats.calls import group_of
from hermes_twisted.server.options import OPTIONS
from tests.conftest import ROOT

REFERENCE = ROOT / "docs" / "reference"
MADE = "<!-- Made by `make reference`; a test compares. Do not edit. -->"

#: Every option once, in the order in which they are shown.
GROUPS = {
    "Listening": "port listen allow-host allow-origin trust-forwarded-from allow-plaintext",
    "TLS": "tls tls-cert tls-key tls-name tls-client-ca",
    "Keys": "key-file accept-api-server-key",
    "Hermes": "backend hermes-home hermes-python script session-grace",
    "Stopping and keeping connections": "drain ping-interval dead-after close-timeout",
    "Logs, audit, metrics, control": "log-format log-level audit-file no-audit audit-max-bytes "
    "audit-keep metrics-need-key control no-control",
    "Limits before the key": "handshake-timeout max-header max-header-lines max-body max-pending "
    "max-failures failure-period max-failure-sources no-courtesy-hold max-held "
    "max-held-per-address hold-time",
    "Limits behind the key": "max-connections max-connections-per-address max-message "
    "max-fragments max-unfinished max-depth max-containers max-waiting-requests "
    "max-waiting-bytes max-unread max-queued-soft max-queued-hard max-queued-total max-threads "
    "compress",
    "Where all this may stand": "config",
}

#: What `--help` is asked of; `serve` and `demo` take the options of the other page.
COMMANDS = (
    "key", "key new", "key list", "key revoke", "key rotate", "url", "status", "top", "kick",
    "install-service", "doctor",
)  # fmt: skip


def options() -> str:
    """Each option: its names, its default, its meaning."""
    rows = {option.name: option for option in OPTIONS}
    lines = [MADE, "", "# Options", "", OPTIONS_INTRODUCTION.strip(), ""]
    for title, names in GROUPS.items():
        lines += [f"## {title}", "", "| Option | Environment | Default | Meaning |"]
        lines += ["|---|---|---|---|", *(_row(rows.pop(name)) for name in names.split()), ""]
    if rows:
        raise SystemExit(f"tools/reference.py: no group has {', '.join(rows)}.")
    return "\n".join(lines)


OPTIONS_INTRODUCTION = """
Options of `hermes-attach serve` and `twistd hermes-attach`. Each can also stand in the environment,
under the name in the second column, or in a TOML file that `--config` names, under its own name
without the dashes: `max-message = "32m"`. The command line wins over the environment, the
environment over the file, the file over the default. An empty variable counts as none.

- Sizes are bytes, or end in `k`, `m` or `g` (1024 each): `512k`.
- Times are seconds, or end in `s`, `m` or `h`: `90s`, `15m`.
- What may be repeated is separated by blanks in the environment, and is a list in the file:
  `allow-host = ["attach.example.org"]`.
- Flags take no value on the command line; elsewhere `1`, `true`, `yes`, or `0`, `false`, `no`.

A key is never an option, nor in the file: [keys](../security.md#keys) says where they come from.
"""


def _row(option: Option) -> str:
    short = f", `-{option.short}`" if option.short else ""
    variable = ENVIRONMENT_PREFIX + option.name.upper().replace("-", "_")
    default = "" if option.default is None else f"`{_value(option)}`"
    cells = [f"`--{option.name}`{short}", f"`{variable}`", default, _text(option.help) + "."]
    return "| " + " | ".join(cells) + " |"


def _value(option: Option) -> str:
    """The default as an operator would write it."""
    value = option.default
    if option.flag:
        return "yes" if value else "no"
    if option.convert is size:
        for unit, factor in (("m", 1024**2), ("k", 1024)):
            if value % factor == 0:
                return f"{value // factor}{unit}"
    if option.convert in (seconds, some_seconds):
        return f"{value / 60:g}m" if value >= 60 and value % 60 == 0 else f"{value:g}s"
    return str(value)


def _text(text: str) -> str:
    """Help as Markdown: nothing in it is meant as markup."""
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def commands() -> str:
    """What each command's --help says."""
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
        mock.patch.object(sys, "argv", ["hermes-attach", *command, "--help"]),
        # Twisted shows the docstring of the program where a command has no text of its own.
        mock.patch.object(sys.modules["__main__"], "__doc__", None),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*command, "--help"])
    lines = [line.rstrip() for line in printed.getvalue().strip().splitlines()]
    return "\n".join(lines)


def methods() -> str:
    """Each method by its name, with the row of the scope table that decides on it."""
    rows = []
    for group in TABLE:
        for method in group.methods:
            counted = "" if method.endswith(".*") else f"`{group_of(method)}`"
            cells = [f"`{method}`", group.what, str(group.chat), str(group.watch)]
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
