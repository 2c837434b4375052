"""The command `hermes-attach`: serve, demo, key, url, status, doctor and more."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import resources

from twisted.python import usage

from .. import __version__
from ..access import plaintext
from ..access.keys import new_secret
from ..config.environment import read_environment
from ..config.option import ENVIRONMENT_PREFIX
from ..listen.endpoints import port_number
from ..server.reactor import ensure_asyncio
from ..shared.problem import Problem
from .install_service import install_service
from .key import key
from .status import kick, status
from .url import url

USAGE = """\
Usage: hermes-attach COMMAND [options]

  serve [options]   serve Hermes in the foreground; the options of `twistd hermes-attach`
  demo [options]    the same with a recorded conversation: needs no Hermes and no model
  key COMMAND       make, list, revoke and rotate the keys that admit
  url [options]     print the line that attaches a terminal UI to this machine's server
  status            show how the running server is, and who is attached
  top               the same, refreshed every second
  kick SEAT         end one terminal's connection
  install-service   write unit files for systemd, and say what to do next
  doctor [URL]      find what keeps a terminal UI from attaching, here or at URL
  --version         print the version

`hermes-attach COMMAND --help` lists a command's options."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits as twistd does, or with 2 for wrong usage."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command == "serve":
        serve(rest)
    elif command == "demo":
        demo(rest)
    elif command == "key":
        key(rest)
    elif command == "url":
        print(url(rest))
    elif command == "status":
        status(rest)
    elif command == "top":
        from .top import top

        top(rest)
    elif command == "kick":
        kick(rest)
    elif command == "install-service":
        print(install_service(rest))
    elif command == "doctor":
        from ..doctor import command as doctor

        sys.exit(doctor.main(rest, read_environment()))
    elif command == "echo":  # For conformance tests (docs/conformance.md): not in the help.
        echo(rest)
    elif command in ("--help", "-h", "help"):
        print(USAGE)
    elif command == "--version":
        print(f"hermes-twisted {__version__}")
    else:
        print(f"hermes-attach: there is no command {command!r}.\n\n{USAGE}", file=sys.stderr)
        sys.exit(2)


def serve(options: Sequence[str]) -> None:
    """`twistd --nodaemon hermes-attach`, with the reactor installed before any plugin is read.

    So it works, too, where another plugin would install another reactor first.
    """
    from twisted.scripts import twistd

    ensure_asyncio()
    sys.argv = ["twistd", "--nodaemon", "--pidfile=", "hermes-attach", *options]
    twistd.run()


def demo(options: Sequence[str]) -> None:
    """Serve the bundled recording, with a key that lasts as long as the process."""
    recording = resources.files("hermes_twisted") / "demo.jsonl"
    with resources.as_file(recording) as script:
        # Settings of the real server, its key above all, are not for the demonstration.
        for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
            del os.environ[name]
        os.environ[plaintext.VARIABLE] = new_secret()
        # No home: the real server's keys are not for the demonstration. Nor a temporary one,
        # which nobody would remove: twistd ends the process by the signal that stopped it.
        home = script.with_name("no-home")
        given = ["--backend", "scripted", "--script", str(script), "--hermes-home", str(home)]
        serve([*given, "--no-audit", "--no-control", *options])


def echo(arguments: Sequence[str]) -> None:
    """Echo messages on 127.0.0.1 until a signal comes. Exits with 2 for wrong usage."""
    from .echo import listen, read_options

    try:
        number, limits = read_options(arguments)
    except (usage.UsageError, Problem) as problem:
        print(f"hermes-attach echo: {problem}", file=sys.stderr)
        sys.exit(2)
    reactor = ensure_asyncio()
    port = listen(reactor, number, limits)
    print(f"echo: ws://127.0.0.1:{port_number(port)}/", flush=True)
    reactor.run()
