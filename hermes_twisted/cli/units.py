"""The unit files of a systemd service, as text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Seconds that a stop may take beyond its drain: closing, and the end of Hermes.
STOP_MARGIN: Final = 15.0
#: Seconds within which systemd expects the next watchdog message.
WATCHDOG: Final = 30

#: Rights that this server never needs. The agent's tools inherit the restrictions, so what a
#: user's commands commonly do stays allowed: the user's files and the network.
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
class UnitPlan:
    """The command that a pair of units runs, its addresses, and its user."""

    command: Path
    """The program `hermes-attach`."""
    listen: Sequence[str] = ("127.0.0.1:8643",)
    """Addresses that systemd listens on: `ListenStream=` values (systemd.socket(5))."""
    home: Path | None = None
    """The Hermes home; None for Hermes' own rule."""
    key_file: Path | None = None
    """A file that systemd passes on as a credential: the service's user need not read it."""
    user: str | None = None
    """The user of a system service; None for a service of the user's own systemd."""
    drain: float = 10.0
    """The service's `--drain`, in seconds."""
    options: Sequence[str] = ()
    """More options for `hermes-attach serve`."""


def socket_unit(plan: UnitPlan) -> str:
    """Return the socket unit, which listens also while the service restarts."""
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


def service_unit(plan: UnitPlan, name: str) -> str:
    """Return the service unit; *name* is the name of both units."""
    system = plan.user is not None
    credential = ""
    if plan.key_file is not None:
        credential = f"LoadCredential=attach-key:{_plain(str(plan.key_file))}\n"
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
        f"ExecStart={_command_line(plan)}\n"
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


def _command_line(plan: UnitPlan) -> str:
    command = [str(plan.command), "serve"]
    for index, address in enumerate(plan.listen):
        command.append(f"--listen=systemd:domain={_domain(address)}:index={index}")
    if plan.home is not None:
        command.append(f"--hermes-home={plan.home}")
    command += [f"--drain={plan.drain:g}", *plan.options]
    line = " ".join(_quoted(word) for word in command)
    # %d is the directory in which systemd puts credentials.
    return line if plan.key_file is None else f"{line} --key-file=%d/attach-key"


def _line(name: str, value: str | None) -> str:
    return "" if value is None else f"{name}={_plain(value)}\n"


def _domain(address: str) -> str:
    if address.startswith(("/", "@")):
        return "UNIX"
    return "INET6" if address.startswith("[") else "INET"


def _quoted(word: str) -> str:
    """Return a word of a command line, quoted (systemd.syntax(7), systemd.service(5))."""
    text = _plain(word).replace("$", "$$")
    if not any(character in text for character in " \t\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: str) -> str:
    """Return *text* with specifiers escaped. Raises `ValueError` for control characters."""
    if any(ord(character) < 32 for character in text):
        raise ValueError("must not contain control characters")
    return text.replace("%", "%%")
