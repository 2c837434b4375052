"""`hermes-attach status | kick`: ask a running server, over its control socket."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from twisted.python import usage

from ..config import parsing
from ..config.environment import read_environment
from ..config.option import ENVIRONMENT_PREFIX
from ..listen.endpoints import socket_path_problem
from ..operate import status_text
from ..operate.control import CONTROL
from ..shared.problem import Problem
from .url import HOME_PARAMETER, home_of
from .usage import Interspersed

#: A server answers at once; one that does not in so many seconds is in trouble.
PATIENCE: Final = 5.0
CONTROL_PARAMETER: Final = [
    "control",
    None,
    None,
    "The server's control socket (default: attach/control.sock in Hermes' home).",
]


class Connection:
    """A control socket's client. Raises `Problem`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if problem := socket_path_problem(path):
            raise Problem(problem)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise Problem(
                f"no server listens at {path}. Is it running, as this user, with this home? "
                "Name another home with --hermes-home, or the socket with --control."
            ) from None
        except PermissionError:
            raise Problem(
                f"{path} is another user's: only whoever runs the server may ask it."
            ) from None
        except OSError as error:
            raise Problem(f"{path}: {error.strerror or error}.") from None
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        """The answer's fields."""
        request = json.dumps({"command": command, **more})
        try:
            self._socket.sendall(request.encode() + b"\n")
            line = self._lines.readline()
        except TimeoutError:
            raise Problem(f"the server at {self._path} does not answer.") from None
        except OSError as error:
            raise Problem(f"{self._path}: {error.strerror or error}.") from None
        if not line:
            raise Problem(
                f"the server at {self._path} has hung up: it is stopping, has too many "
                "connections there, or is another user's."
            )
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise Problem(answer["error"])
        return answer


class ControlOptions(Interspersed):
    """Which server."""

    command = ""
    optParameters: Any = (CONTROL_PARAMETER, HOME_PARAMETER)

    def getSynopsis(self) -> str:
        """How the command is called."""
        return f"Usage: hermes-attach {self.command} [options]"

    @property
    def path(self) -> Path:
        """The control socket: as the option has it, or the environment, or at home."""
        named = self["control"] or read_environment().get(f"{ENVIRONMENT_PREFIX}CONTROL")
        if not named:
            return home_of(self) / CONTROL
        try:
            return parsing.path(named)
        except ValueError as error:
            raise usage.UsageError(f"--control {named!r}: {error}.") from None


class _Status(ControlOptions):
    command = "status"
    optFlags = (["json", None, "As JSON."],)


class _Kick(ControlOptions):
    command = "kick SEAT"
    optParameters = (
        ["reason", None, None, "What its user is told."],
        CONTROL_PARAMETER,
        HOME_PARAMETER,
    )

    def parseArgs(self, *seats: str) -> None:
        """The one argument."""
        if len(seats) != 1 or not seats[0].isdecimal():
            raise usage.UsageError("name one seat by its number, as `hermes-attach status` shows.")
        self["seat"] = int(seats[0])


def parse(options: ControlOptions, arguments: Sequence[str]) -> Path:
    """Read *arguments*, and find the socket; exits with 2 for wrong usage."""
    try:
        options.parseOptions(list(arguments))
        return options.path
    except (usage.UsageError, Problem) as problem:
        fail(options.command.split()[0], str(problem), 2)


def fail(command: str, message: str, status: int) -> NoReturn:
    """Say it, and exit."""
    print(f"hermes-attach {command}: {message}", file=sys.stderr)
    sys.exit(status)


def status(arguments: Sequence[str]) -> None:
    """Show how the server is and who is attached. Exits with 1 if it cannot be asked."""
    options = _Status()  # type: ignore[no-untyped-call]
    path = parse(options, arguments)
    try:
        with Connection(path) as server:
            found = server.ask("status")["status"]
    except Problem as problem:
        fail("status", str(problem), 1)
    print(json.dumps(found, indent=1) if options["json"] else status_text.text(found))


def kick(arguments: Sequence[str]) -> None:
    """End one seat's link. Exits with 1 if that cannot be."""
    options = _Kick()  # type: ignore[no-untyped-call]
    path = parse(options, arguments)
    try:
        with Connection(path) as server:
            done = server.ask("kick", seat=options["seat"], reason=options["reason"])
    except Problem as problem:
        fail("kick", str(problem), 1)
    print(
        f"Seat {done['seat']} (key {done['key']}, from {done['peer']}) is being disconnected. "
        "Its key still admits: `hermes-attach key` revokes it."
    )
