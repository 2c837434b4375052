"""What the person who starts the server is shown: on the terminal, never in a log."""

from __future__ import annotations

import contextlib
import getpass
import shlex
import socket
from pathlib import Path
from typing import Final

from twisted.internet.interfaces import IAddress

from .core.admission import PATH
from .keystore import Secret
from .listeners import Listener

#: Where the lines to paste put the authority's certificate, below the client's home.
AUTHORITY_COPY: Final = "hermes-attach-ca.pem"

#: What stands for every interface of the machine.
_ANY = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not bound to)


def show_attach_lines(listener: Listener, address: IAddress, secret: Secret) -> None:
    """Write the lines to paste to the controlling terminal, if this process has one."""
    # Without one we are a daemon, or in a pipe: `hermes-attach url` prints them.
    _show(attach_lines(listener, address, secret))


def show_authority_lines(certificate: Path, pin: str) -> None:
    """Write to the same terminal how a client comes to trust a certificate of our own making."""
    _show(authority_lines(certificate, pin))


def authority_lines(certificate: Path, pin: str) -> str:
    """How to make the terminal UI trust the authority in *certificate*, and check that it does."""
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


def attach_lines(listener: Listener, address: IAddress, secret: Secret) -> str:
    """How to attach to *listener*, in a shell on the client's machine."""
    host = getattr(address, "host", None)
    if host is None:
        return (
            "Attach through a tunnel to this socket, then use the tunnel's port in place of PORT:\n"
            f"\n  {export_line(attach_url('127.0.0.1', 'PORT', secret))}\n"
        )
    if host in _ANY:
        host = socket.gethostname()
    port = address.port  # type: ignore[attr-defined]
    url = attach_url(host, port, secret, encrypted=listener.encrypted)
    return f"On the machine with the terminal UI, paste:\n\n  {export_line(url)}\n  hermes --tui\n"


def attach_url(host: str, port: int | str, secret: Secret, *, encrypted: bool = False) -> str:
    """The address that the terminal UI takes, key and all."""
    scheme = "wss" if encrypted else "ws"
    name = f"[{host}]" if ":" in host else host
    return f"{scheme}://{name}:{port}{PATH.decode()}?token={secret.text}"


def _user() -> str:
    # A KeyError before Python 3.13, an OSError since: a number without a name.
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser() + "@"
    return ""


def _show(text: str) -> None:
    with contextlib.suppress(OSError), open("/dev/tty", "w") as terminal:
        terminal.write(f"\n{text}\n")


def export_line(url: str) -> str:
    """The line for a POSIX shell."""
    return f"export HERMES_TUI_GATEWAY_URL='{url}'"
