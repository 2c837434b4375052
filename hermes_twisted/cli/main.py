"""The command `hermes-attach`. Each command is in the module of its name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from .commands import CommandEntry, Commands, run

NAME: Final = "hermes-attach"
SERVE: Final = "Serve"
CLIENTS: Final = "Let terminals attach"
OPERATE: Final = "Operate a server"

COMMAND: Final = Commands(
    NAME,
    (
        CommandEntry(
            "serve",
            "Serve Hermes in the foreground, with the options of `twistd hermes-attach`.",
            "serve:serve",
            "[options]",
            SERVE,
        ),
        CommandEntry(
            "demo",
            "Serve a recorded conversation: needs no Hermes and no model.",
            "demo:demo",
            "[options]",
            SERVE,
        ),
        CommandEntry(
            "install-service",
            "Write unit files for systemd, and show the commands that start them.",
            "install_service:install_service",
            section=SERVE,
        ),
        CommandEntry(
            "key",
            "Make, list, revoke and rotate keys.",
            "key:key",
            "COMMAND",
            CLIENTS,
        ),
        CommandEntry(
            "url",
            "Print the line that attaches a terminal UI to this machine's server.",
            "url:url",
            "[options]",
            CLIENTS,
        ),
        CommandEntry(
            "doctor",
            "Find what keeps a terminal UI from attaching, here or at URL.",
            "doctor:doctor",
            "[URL]",
            CLIENTS,
        ),
        CommandEntry(
            "status",
            "Show the state of the running server, and who is attached.",
            "status:status",
            section=OPERATE,
        ),
        CommandEntry("top", "Show the status, refreshed every second.", "top:top", section=OPERATE),
        CommandEntry("kick", "End one terminal's connection.", "kick:kick", "SEAT", OPERATE),
        CommandEntry(
            "completion",
            "Print a script with which a shell completes these commands and their options.",
            "completion:completion",
            "SHELL",
            "Set up",
        ),
        # For conformance tests (docs/conformance.md).
        CommandEntry("echo", "Echo every message.", "echo:echo", hidden=True),
    ),
    help="Attach terminals to Hermes over the network.",
    epilog="`hermes-attach COMMAND --help` lists a command's options.",
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command; *arguments* are those of the process, unless given.

    Exits with 2 for wrong usage, with 1 if it cannot be done, and as twistd does for `serve`.
    """
    run(COMMAND, sys.argv[1:] if arguments is None else arguments, NAME)
