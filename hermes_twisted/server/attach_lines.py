"""The lines to paste for attaching: written to the terminal, never to a log."""

from __future__ import annotations

import contextlib
import getpass
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final, TextIO
from urllib.parse import quote

from twisted.internet.interfaces import IAddress

from ..access.handshake import PATH
from ..access.plaintext import Secret
from ..listen.endpoints import Listener

#: Where the lines to paste put the authority's certificate, below the client's home.
AUTHORITY_COPY: Final = "hermes-attach-ca.pem"

VARIABLE = "HERMES_TUI_GATEWAY_URL"
#: Addresses that stand for every interface of the machine.
_ANY = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not bound to)


def open_terminal() -> TextIO:
    """Open the terminal that controls this process. Raises `OSError` if there is none."""
    return open("/dev/tty", "w")


def has_terminal() -> bool:
    """Return whether this process has a terminal, on which a secret can be shown."""
    try:
        open_terminal().close()
    except OSError:
        return False
    return True


def show_attach_lines(
    listener: Listener, address: IAddress, secret: Secret | None, *, first: str | None = None
) -> None:
    """Write the lines to paste to the controlling terminal, if this process has one.

    *first* is written above them if the key has just been made, which is shown only once.
    """
    lines = attach_lines(listener, address, secret, every_shell=first is not None)
    # Without one we are a daemon, or in a pipe: `hermes-attach url` prints them.
    _show(f"{first or ''}{lines}")


def show_authority_lines(certificate: Path, pin: str) -> None:
    """Write to the same terminal how to make clients trust the server's own authority."""
    _show(authority_lines(certificate, pin))


def authority_lines(certificate: Path, pin: str) -> str:
    """Return how the terminal UI is made to trust the authority in the file *certificate*.

    *pin* is the server's public key, for people to compare.
    """
    copy = f"~/{AUTHORITY_COPY}"
    host = _user() + socket.gethostname()
    return (
        "The certificate is signed by this server's own authority, which the terminal UI has to\n"
        "know. On the machine with the terminal UI, paste once:\n\n"
        f"  scp {host}:{shlex.quote(str(certificate))} {copy}\n\n"
        "and, in the same shell as above, before hermes --tui:\n\n"
        f"  export NODE_EXTRA_CA_CERTS={copy}\n\n"
        f"(On this machine: export NODE_EXTRA_CA_CERTS={shlex.quote(str(certificate))})\n"
        f"The server's public key: {pin}\n"
    )


def attach_lines(
    listener: Listener, address: IAddress, secret: Secret | None, *, every_shell: bool = False
) -> str:
    """Return how to attach to *listener*, in a shell on the client's machine."""
    host = getattr(address, "host", None)
    if host is None:
        url = attach_url("127.0.0.1", "PORT", secret)
        return (
            "Attach through a tunnel to this socket, then use the tunnel's port in place of PORT:\n"
            f"\n{_assignments(url, every_shell)}\n"
        )
    if host in _ANY:
        host = socket.gethostname()
    port = address.port  # type: ignore[attr-defined]
    url = attach_url(host, port, secret, encrypted=listener.encrypted)
    return paste_lines(url, every_shell=every_shell, key_known=secret is not None)


def paste_lines(url: str, *, every_shell: bool, key_known: bool = True) -> str:
    """Return what to paste on the client's machine, and what to run there."""
    text = "On the machine with the terminal UI, paste"
    if every_shell:
        text += " the line of your shell"
    if not key_known:
        text += (
            ", with your key in the place of KEY\n"
            "(hermes-attach key rotate NAME makes and shows a new one)"
        )
    return f"{text}:\n\n{_assignments(url, every_shell)}\n\n  hermes --tui\n"


def attach_url(
    host: str, port: int | str, secret: Secret | None, *, encrypted: bool = False
) -> str:
    """Return the address that the terminal UI takes, with its key; KEY for one not known."""
    scheme = "wss" if encrypted else "ws"
    name = f"[{host}]" if ":" in host else host
    token = "KEY" if secret is None else quote(secret.text, safe="")
    return f"{scheme}://{name}:{port}{PATH.decode()}?token={token}"


def export_line(url: str, shell: str = "posix") -> str:
    """Return the line of *shell* that makes *url* known to the terminal UI."""
    return assignment(shell, VARIABLE, url)


def _assignments(url: str, every_shell: bool) -> str:
    return assignments(VARIABLE, url) if every_shell else f"  {export_line(url)}"


def _user() -> str:
    # A user id without a name raises KeyError before Python 3.13, OSError since.
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser() + "@"
    return ""


def _show(text: str) -> None:
    with contextlib.suppress(OSError), open_terminal() as terminal:
        terminal.write(f"\n{text}\n")


#: Each shell's title and the function that makes its line. The first is shown where only one is.
SHELLS: Final[dict[str, tuple[str, Callable[[str, str], str]]]] = {
    "posix": ("bash, zsh", lambda name, value: f"export {name}={_single(value)}"),
    "fish": ("fish", lambda name, value: f"set -gx {name} {_single(value)}"),
    "powershell": ("PowerShell", lambda name, value: f"$env:{name} = {_single(value)}"),
    "cmd": ("cmd", lambda name, value: f'set "{name}={value}"'),
}
#: Names by which people choose a shell.
SHELL_NAMES: Final = ("bash", "zsh", "fish", "powershell", "cmd")
_ALIASES: Final = {"bash": "posix", "zsh": "posix", "sh": "posix", "pwsh": "powershell"}


def shell(name: str) -> str:
    """Return the key in `SHELLS` of the shell of that name. Raises `ValueError`."""
    found = _ALIASES.get(name.lower(), name.lower())
    if found not in SHELLS:
        raise ValueError(f"must be one of {', '.join(SHELL_NAMES)}")
    return found


def assignment(shell: str, name: str, value: str) -> str:
    """Return the line of *shell* that sets a variable for the programs that it starts."""
    return SHELLS[shell][1](name, value)


def assignments(name: str, value: str) -> str:
    """Return the line of each shell, with the shell's name above it."""
    return "\n".join(f"  {title}:\n    {line(name, value)}" for title, line in SHELLS.values())


def _single(value: str) -> str:
    # Every shell has its own rules for quotes within quotes.
    if "'" in value:
        raise ValueError("a single quote cannot stand in this value")
    return f"'{value}'"
