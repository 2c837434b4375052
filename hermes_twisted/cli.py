"""The command `hermes-attach`: serve, demo, url, doctor."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from twisted.python import usage

from . import __version__, keystore
from .core.keys import new_secret
from .reactors import ensure_asyncio
from .settings import DEFAULT_PORT, ENVIRONMENT_PREFIX, BadSetting, default_home, read_environment
from .terminal import attach_url, export_line

USAGE = """\
Usage: hermes-attach COMMAND [options]

  serve [options]   serve Hermes in the foreground; the options of `twistd hermes-attach`
  demo [options]    the same with a recorded conversation: needs no Hermes and no model
  url [options]     print the line that attaches a terminal UI to this machine's server
  doctor [URL]      find what keeps a terminal UI from attaching, here or at URL
  --version         print the version

`hermes-attach COMMAND --help` lists a command's options."""


class _UrlOptions(usage.Options):
    synopsis = "[options]"
    optParameters = (
        ["host", None, "127.0.0.1", "The server's name or address, as the client sees it."],
        ["port", "p", DEFAULT_PORT, "The server's port.", int],
        ["key-file", None, None, "File with the key."],
        ["hermes-home", None, None, "Hermes' home directory."],
    )
    optFlags = (["tls", None, "The server speaks TLS (wss)."],)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; exits as twistd does, or with 2 for wrong usage."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command == "serve":
        serve(rest)
    elif command == "demo":
        demo(rest)
    elif command == "url":
        print(url(rest))
    elif command == "doctor":
        from .doctor import command as doctor

        sys.exit(doctor.main(rest, read_environment()))
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
    with resources.as_file(resources.files("hermes_twisted") / "demo.jsonl") as script:
        # Settings of the real server, its key above all, are not for the demonstration.
        for name in [name for name in os.environ if name.startswith(ENVIRONMENT_PREFIX)]:
            del os.environ[name]
        os.environ[keystore.VARIABLE] = new_secret()
        serve(["--backend", "scripted", "--script", str(script), *options])


def url(arguments: Sequence[str]) -> str:
    """The line to paste, with the key. Exits with 2 if there is no key or no such option."""
    options = _UrlOptions()  # type: ignore[no-untyped-call]
    try:
        options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
        secret = _known_secret(options)
    except (usage.UsageError, BadSetting, keystore.BadKey) as problem:
        print(f"hermes-attach url: {problem}", file=sys.stderr)
        sys.exit(2)
    encrypted = bool(options["tls"])
    return export_line(attach_url(options["host"], options["port"], secret, encrypted=encrypted))


def _known_secret(options: _UrlOptions) -> keystore.Secret:
    environ = read_environment()
    home = Path(options["hermes-home"]) if options["hermes-home"] else default_home(environ)
    key_file = Path(options["key-file"]) if options["key-file"] else None
    secret = keystore.find(key_file, environ, home)
    if secret is None:
        raise keystore.BadKey(
            f"There is no key in {keystore.default_path(home)} yet: the first "
            "`hermes-attach serve` makes it."
        )
    secret.keyring()  # Refused as the server does: it might break out of the line.
    return secret
