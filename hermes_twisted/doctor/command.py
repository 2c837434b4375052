"""`hermes-attach doctor`: options in, report and exit status out."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.python import usage

from ..access import plaintext
from ..config import parsing
from ..server.settings import Settings
from ..shared.problem import Problem
from . import client, hermes, server, service, show
from .findings import Report, warning
from .network import RealNetwork
from .node import node_runner
from .target import CHECK, parse

VARIABLE: Final = "HERMES_TUI_GATEWAY_URL"
USAGE_STATUS: Final = 2
#: Options that the server has, too: what is checked is what it would do.
_OF_SERVER: Final = ("config", "port", "hermes-home", "hermes-python")


class Options(usage.Options):
    """What to look at."""

    synopsis = "Usage: hermes-attach doctor [options] [URL]"
    longdesc = (
        "Find what keeps a terminal UI from attaching, and what to do about it. With a URL, or "
        f"with {VARIABLE} set, look at that server as the UI would. Without, look at this "
        "machine's server. Exits with 0 if nothing is wrong, 1 if something is, 2 for wrong usage."
    )
    optParameters = (
        ["key-file", None, None, "File with the key, for a URL without one; the server's, too."],
        ["timeout", None, "15", "Seconds for each step, as the UI waits for gateway.ready."],
        ["seconds", None, "4", "Seconds for which round trips are measured."],
        ["config", None, None, "The server's TOML file."],
        ["port", "p", None, "The server's port."],
        ["hermes-home", None, None, "Hermes' home directory."],
        ["hermes-python", None, None, "The Python that Hermes is installed in."],
        ["pidfile", None, "twistd.pid", "The pid file of twistd."],
    )
    optFlags = (
        ["json", None, "Print JSON."],
        ["server", None, f"Look at this machine's server although {VARIABLE} is set."],
    )

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.url: str | None = None
        self.listen: list[str] = []

    def opt_listen(self, value: str) -> None:
        """Endpoint that the server listens on. May be repeated."""
        self.listen.append(value)

    opt_l = opt_listen

    def parseArgs(self, url: str | None = None) -> None:
        """At most one URL."""
        self.url = url

    def postOptions(self) -> None:
        """Numbers are numbers."""
        for name in ("timeout", "seconds"):
            try:
                self[name] = parsing.some_seconds(self[name])
            except ValueError as error:
                raise usage.UsageError(f"--{name} {self[name]!r}: {error}.") from None
        if self.url and self["server"]:
            raise usage.UsageError("Give a URL, or --server, not both.")


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Examine, print, and return the exit status."""
    options = Options()
    try:
        # A URL may stand in front of options, which `usage` would not look for behind it.
        ordered = sorted(arguments, key=lambda argument: "://" in argument.partition("=")[0])
        options.parseOptions(ordered)  # type: ignore[no-untyped-call]
        url = options.url or (None if options["server"] else environ.get(VARIABLE))
        report = _at_server(options, environ) if url is None else _at(url, options, environ)
    except (usage.UsageError, Problem) as wrong:
        print(f"hermes-attach doctor: {wrong}", file=sys.stderr)
        return USAGE_STATUS
    if options["json"]:
        print(show.as_json(report))
    else:
        colours = show.uses_colours(sys.stdout, environ.get("NO_COLOR"))
        print(show.as_text(report, colours=colours))
    return report.exit_status


def _at(url: str, options: Options, environ: Mapping[str, str]) -> Report:
    target, findings = parse(url, _key(options, environ))
    if target is None:
        report = Report("The address cannot be used.")
        report.add(*findings)
        return report
    report = Report(f"{target.address}, as the terminal UI sees it", target.secrets)
    if options.url is not None and parse(options.url)[0] == target and target.secrets:
        report.add(
            warning(
                CHECK,
                "The key was on the command line.",
                "Every user of this machine can read it there, and shells keep it.",
                f"Leave it to {VARIABLE}, or give the address without it and a --key-file.",
            )
        )
    report.add(*findings)
    tools = client.ClientTools(RealNetwork(), node_runner(environ), environ)
    client.Examination(
        target, tools, report, timeout=options["timeout"], seconds=options["seconds"]
    ).run()
    return report


def _key(options: Options, environ: Mapping[str, str]) -> str | None:
    """The key for an address without one: named, or of the environment; none of this machine's."""
    if options["key-file"] is None and plaintext.VARIABLE not in environ:
        return None
    key_file = parsing.path(options["key-file"]) if options["key-file"] else None
    secret = plaintext.find(key_file, environ)
    return None if secret is None else secret.text


def _at_server(options: Options, environ: Mapping[str, str]) -> Report:
    given: dict[str, Any] = {name: options[name] for name in (*_OF_SERVER, "key-file")}
    given["listen"] = options.listen
    settings = Settings.gather(given, environ)
    report = Report("This machine's server")
    tools = server.ServerTools(
        RealNetwork(),
        node_runner(environ),
        hermes.inspector(environ, settings.home),
        service.runner(environ),
        environ,
    )
    server.examine(settings, Path(options["pidfile"]), tools, report)
    return report
