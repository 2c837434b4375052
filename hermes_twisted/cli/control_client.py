"""The client of a server's control socket, and the options that name the socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from ..config import parsing
from ..config.environment import read_environment
from ..listen.endpoints import socket_path_problem
from ..operate.control import CONTROL
from ..server import settings
from ..shared.problem import Problem
from .address import home_of, home_option
from .commands import F, of_server, wrong_usage

#: A server answers at once; one that does not in so many seconds is in trouble.
PATIENCE: Final = 5.0


class Connection:
    """A connection to a control socket, to be used as a context manager. Raises `Problem`."""

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
                f"no server listens at {path}. Is it running, as this user, with this home?",
                "Name another home with --hermes-home, or the socket with --control.",
            ) from None
        except PermissionError:
            raise Problem(
                f"{path} is another user's: only whoever runs the server may ask it.",
                "Run the command as that user.",
            ) from None
        except OSError as error:
            raise self._broken(error) from None
        self._lines = self._socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._lines.close()
        self._socket.close()

    def ask(self, command: str, **more: Any) -> dict[str, Any]:
        """Return the fields of the answer to *command*. Raises `Problem`, also for a refusal."""
        request = json.dumps({"command": command, **more})
        try:
            self._socket.sendall(request.encode() + b"\n")
            line = self._lines.readline()
        except TimeoutError:
            raise Problem(
                f"the server at {self._path} does not answer.", "Its log may tell why."
            ) from None
        except OSError as error:
            raise self._broken(error) from None
        if not line:
            raise Problem(
                f"the server at {self._path} has hung up: it is stopping, has too many "
                "connections there, or is another user's.",
                "Try again in a moment.",
            )
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise Problem(answer["error"])
        return answer

    def _broken(self, error: OSError) -> Problem:
        return Problem(f"{self._path}: {error.strerror or error}.", "Is the server running?")


def control_options(function: F) -> F:
    """Give a command the options --control and --hermes-home."""
    return of_server(settings.options()["control"])(home_option(function))


def control_path(named: str | None, home: str | None) -> Path:
    """Return the control socket: *named*, or by the environment, or in the Hermes *home*.

    Raises `click.UsageError`.
    """
    option = settings.options()["control"]
    named = named or read_environment().get(option.variable)
    with wrong_usage():
        if not named:
            return home_of(home) / CONTROL
        try:
            return parsing.path(named)
        except ValueError as error:
            raise Problem(
                f"--control {named!r}: {error}.", "Name the socket of a running server."
            ) from None
