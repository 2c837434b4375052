"""What the person who starts the server is shown: on the terminal, never in a log."""

from __future__ import annotations

import contextlib
import socket

from twisted.internet.interfaces import IAddress

from .keystore import Secret
from .listeners import Listener

#: What stands for every interface of the machine.
_ANY = ("0.0.0.0", "::", "")  # noqa: S104  (compared with, not bound to)


def show_attach_lines(listener: Listener, address: IAddress, secret: Secret) -> None:
    """Write the lines to paste to the controlling terminal, if this process has one."""
    # Without one we are a daemon, or in a pipe: `hermes-attach url` prints them.
    with contextlib.suppress(OSError), open("/dev/tty", "w") as terminal:
        terminal.write("\n" + attach_lines(listener, address, secret) + "\n")


def attach_lines(listener: Listener, address: IAddress, secret: Secret) -> str:
    """How to attach to *listener*, in a shell on the client's machine."""
    host = getattr(address, "host", None)
    if host is None:
        return (
            "Attach through a tunnel to this socket, then use the tunnel's port in place of PORT:\n"
            f"\n  {export_line(f'ws://127.0.0.1:PORT/api/ws?token={secret.text}')}\n"
        )
    if host in _ANY:
        host = socket.gethostname()
    elif ":" in host:
        host = f"[{host}]"
    scheme = "wss" if listener.encrypted else "ws"
    url = f"{scheme}://{host}:{address.port}/api/ws?token={secret.text}"  # type: ignore[attr-defined]
    return f"On the machine with the terminal UI, paste:\n\n  {export_line(url)}\n  hermes --tui\n"


def export_line(url: str) -> str:
    """The line for a POSIX shell."""
    return f"export HERMES_TUI_GATEWAY_URL='{url}'"
