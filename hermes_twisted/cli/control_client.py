"""The client of a server's control socket, and the options that name the socket."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, Final

from ..config.environment import read_environment
from ..config.gathering import convert
from ..listen.endpoints import socket_path_problem
from ..operate.control import CONTROL
from ..server import settings
from ..shared.problem import Problem
from .address import home_of, home_option
from .commands import F, of_server, wrong_usage

#: Seconds to wait for an answer. A server that works answers at once.
PATIENCE: Final = 5.0


class Connection:
    """A connection to a control socket, to be used as a context manager. Raises `Problem`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        if problem := socket_path_problem(path):
            raise problem
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE)
        try:
            self._socket.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            raise Problem(
                f"No server listens at {path}.",
                "Start it; or name its Hermes home with --hermes-home, or its socket with "
                "--control.",
            ) from None
        except PermissionError:
            raise Problem(
                f"{path} belongs to another user: only the server's user and root may use it.",
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
                f"The server at {self._path} does not answer within {PATIENCE:g} s.",
                "Look into its log.",
            ) from None
        except OSError as error:
            raise self._broken(error) from None
        if not line:
            raise Problem(
                f"The server at {self._path} has closed the connection: it is stopping, has too "
                "many such connections, or belongs to another user.",
                "Try again in a moment.",
            )
        answer: dict[str, Any] = json.loads(line)
        if not answer["ok"]:
            raise Problem(answer["error"])  # With the advice in it.
        return answer

    def _broken(self, error: OSError) -> Problem:
        return Problem(
            f"{self._path} cannot be used: {error.strerror or error}.",
            "Check that the server is running, and that this is its control socket.",
        )


def control_options(function: F) -> F:
    """Give a command the options --control and --hermes-home."""
    return of_server(settings.options()["control"])(home_option(function))


def control_path(named: str | None, home: str | None) -> Path:
    """Return the control socket: *named*, or by the environment, or in the Hermes *home*.

    Raises `click.UsageError`.
    """
    option = settings.options()["control"]
    with wrong_usage():
        path: Path
        if named:
            path = convert(option, named, f"--{option.name}")
        elif variable := read_environment().get(option.variable):
            path = convert(option, variable, option.variable)
        else:
            path = home_of(home) / CONTROL
        return path
