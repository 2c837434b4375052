"""The unit files of a systemd service, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: What a stop may take beyond its drain: closing, and the end of Hermes.
STOP_MARGIN: Final = 15.0
#: Signs of life are due this often, in seconds.
WATCHDOG: Final = 30

#: What this server never needs. The agent's tools inherit it, so nothing is forbidden
#: here that a user's commands commonly do: the home directory and the network stay open.
_HARDENING: Final = """\
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
"""
_SYSTEM_HARDENING: Final = """\
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectSystem=full
"""


@dataclass(frozen=True)
class Plan:
    """What the units are to run, and how."""

    command: Path
    """The program `hermes-attach`."""
    listen: Sequence[str] = ("127.0.0.1:8643",)
    """What systemd listens on: `ListenStream=` values (systemd.socket(5))."""
    home: Path | None = None
    """Hermes' home; None for Hermes' own rule."""
    key_file: Path | None = None
    """Handed over as a credential, so that the service's user need not read it."""
    user: str | None = None
    """Whom a system service runs as; None for a service of the user's own manager."""
    drain: float = 10.0
    """Seconds."""
    options: Sequence[str] = ()
    """More options for `hermes-attach serve`."""


def socket_unit(plan: Plan) -> str:
    """The unit that listens, also while the service is started anew."""
    listen = "".join(f"ListenStream={_plain(address)}\n" for address in plan.listen)
    return (
        "[Unit]\n"
        "Description=Hermes attach server: sockets\n"
        "\n"
        "[Socket]\n"
        f"{listen}"
        "SocketMode=0600\n"
        f"{_line('SocketUser', plan.user)}"
        "Backlog=1024\n"
        "NoDelay=yes\n"
        "\n"
        "[Install]\n"
        "WantedBy=sockets.target\n"
    )


def service_unit(plan: Plan, name: str) -> str:
    """The unit of the server itself; *name* is the units' common name."""
    system = plan.user is not None
    command = [str(plan.command), "serve"]
    for index in range(len(plan.listen)):
        command.append(f"--listen=systemd:domain={_domain(plan.listen[index])}:index={index}")
    if plan.home is not None:
        command.append(f"--hermes-home={plan.home}")
    command += [f"--drain={plan.drain:g}", *plan.options]
    line = " ".join(_quoted(word) for word in command)
    credential = ""
    if plan.key_file is not None:
        credential = f"LoadCredential=attach-key:{_plain(str(plan.key_file))}\n"
        line += " --key-file=%d/attach-key"  # The directory that systemd puts it in.
    return (
        "[Unit]\n"
        "Description=Hermes attach server\n"
        f"Requires={name}.socket\n"
        f"After={name}.socket{' network.target' if system else ''}\n"
        "\n"
        "[Service]\n"
        "Type=notify\n"
        "NotifyAccess=main\n"
        f"{_line('User', plan.user)}"
        f"ExecStart={line}\n"
        "ExecReload=kill -HUP $MAINPID\n"
        f"{credential}"
        "Restart=on-failure\n"
        "RestartSec=1\n"
        f"TimeoutStopSec={plan.drain + STOP_MARGIN:g}\n"
        f"WatchdogSec={WATCHDOG}\n"
        "KillMode=mixed\n"
        "UMask=0077\n"
        "OOMPolicy=continue\n"
        f"{_HARDENING}"
        f"{_SYSTEM_HARDENING if system else ''}"
        f"{_line('CapabilityBoundingSet', None if plan.user in (None, 'root') else '')}"
        "\n"
        "[Install]\n"
        f"WantedBy={'multi-user.target' if system else 'default.target'}\n"
    )


def _line(name: str, value: str | None) -> str:
    return "" if value is None else f"{name}={_plain(value)}\n"


def _domain(address: str) -> str:
    if address.startswith(("/", "@")):
        return "UNIX"
    return "INET6" if address.startswith("[") else "INET"


def _quoted(word: str) -> str:
    """A word of a command line (systemd.syntax(7), systemd.service(5))."""
    text = _plain(word).replace("$", "$$")
    if not any(character in text for character in " \t\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    """Without specifiers. Raises `ValueError` for what cannot stand in a unit."""
    if any(ord(character) < 32 for character in text):
        raise ValueError("must not hold control characters")
    return text.replace("%", "%%")
