"""`hermes-attach install-service`: write unit files, and say what to do next."""

from __future__ import annotations

import getpass
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.python import usage

from ..config import parsing
from ..config.environment import read_environment
from ..server.assemble import find_hermes_python
from ..shared.problem import Problem
from .units import Plan, service_unit, socket_unit

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LISTEN: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}|[/@].+")


def install_service(arguments: Sequence[str]) -> str:
    """What was written, and what to do. Exits with 2 for wrong usage, 1 if that cannot be."""
    try:
        return install(arguments, read_environment())
    except usage.UsageError as problem:
        print(f"hermes-attach install-service: {problem}", file=sys.stderr)
        sys.exit(2)
    except Problem as problem:
        print(f"hermes-attach install-service: {problem}", file=sys.stderr)
        sys.exit(1)


class InstallOptions(usage.Options):
    """What `install-service` takes; more options for the server follow after `--`."""

    synopsis = "Usage: hermes-attach install-service [options] [-- options of hermes-attach serve]"
    longdesc = (
        "Write a service and a socket unit for systemd, and say which commands start them. "
        "systemd keeps listening while the server is started anew."
    )
    optFlags = (
        ["user", None, "For your own systemd instance (the default)."],
        ["system", None, "For the machine's, in /etc/systemd/system."],
        ["dry-run", "n", "Show the files, write nothing."],
        ["force", "f", "Replace files that differ."],
    )
    optParameters = (
        ["name", None, "hermes-attach", "The units' name."],
        ["listen", "l", "127.0.0.1:8643", "Address to listen on, such as [::1]:8643 or a path."],
        ["run-as", None, None, "The user of a system service (default: you)."],
        ["hermes-home", None, None, "Hermes' home directory."],
        ["key-file", None, None, "File with a key, handed over as a credential."],
        ["drain", None, "10", "How long a stop waits for what runs, such as 10 or 10m."],
    )

    def parseArgs(self, *more: str) -> None:
        """What follows is for the server."""
        self["more"] = list(more)


def install(arguments: Sequence[str], environ: Mapping[str, str]) -> str:
    """Write the units; what to tell the operator. Raises `Problem` and `usage.UsageError`."""
    options = InstallOptions()  # type: ignore[no-untyped-call]
    options.parseOptions(list(arguments))  # type: ignore[no-untyped-call]
    if options["user"] and options["system"]:
        raise usage.UsageError("--user and --system exclude each other.")
    name = options["name"]
    if _NAME.fullmatch(name) is None:
        raise usage.UsageError("--name: letters, digits, - and _ only.")
    plan = _plan(options, environ)
    units = {f"{name}.socket": socket_unit(plan), f"{name}.service": service_unit(plan, name)}
    folder = SYSTEM_UNITS if options["system"] else _user_units(environ)
    if options["dry-run"]:
        return "\n".join(f"# {folder / file}\n{text}" for file, text in units.items())
    for file, text in units.items():
        _write(folder / file, text, force=bool(options["force"]))
    return _next_steps(folder, name, system=bool(options["system"]))


def _plan(options: Any, environ: Mapping[str, str]) -> Plan:
    if _LISTEN.fullmatch(options["listen"]) is None:
        raise usage.UsageError(
            "--listen: an address and port such as 127.0.0.1:8643 or [::1]:8643, or a path."
        )
    try:
        return Plan(
            command=_own_command(),
            listen=(options["listen"],),
            home=parsing.path(options["hermes-home"]) if options["hermes-home"] else None,
            key_file=parsing.path(options["key-file"]) if options["key-file"] else None,
            user=(options["run-as"] or getpass.getuser()) if options["system"] else None,
            drain=parsing.seconds(options["drain"]),
            options=(*_hermes_python(options["more"], environ), *options["more"]),
        )
    except ValueError as error:
        raise usage.UsageError(f"{error}") from None


def _hermes_python(more: Sequence[str], environ: Mapping[str, str]) -> Sequence[str]:
    """Hermes' interpreter as it is found here and now: a service's PATH is another one."""
    if any(word.startswith("--hermes-python") for word in more):
        return ()
    try:
        return (f"--hermes-python={find_hermes_python(environ)}",)
    except Problem as absent:
        raise Problem(f"{absent} For the unit: -- --hermes-python=PATH.") from None


def _own_command() -> Path:
    """The program to start: the one beside this interpreter, or else the one on PATH."""
    beside = Path(sys.executable).with_name("hermes-attach")
    if beside.exists():
        return beside
    found = shutil.which("hermes-attach")
    if found is None:
        raise Problem(
            "The program hermes-attach was found neither beside this Python nor on PATH. "
            "Install hermes-twisted with pip or pipx first."
        )
    return Path(found).absolute()


def _user_units(environ: Mapping[str, str]) -> Path:
    config = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(config) / "systemd" / "user"


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text and not force:
            raise Problem(
                f"{path} is there already and differs. Compare with --dry-run; --force replaces it."
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"{path} cannot be written: {error.strerror}. For --system, run it as root; "
            "--dry-run shows what would be written."
        ) from None


def _next_steps(folder: Path, name: str, *, system: bool) -> str:
    systemctl = "systemctl" if system else "systemctl --user"
    lines = [
        f"Written: {folder / name}.socket and {name}.service. Next:",
        "",
        "  hermes-attach key new NAME     (a service cannot show one that it makes itself)",
        f"  {systemctl} daemon-reload",
        f"  {systemctl} enable --now {name}.socket {name}.service",
        f"  {systemctl} status {name}.service",
    ]
    if not system:
        lines += ["", "So that it runs while nobody is logged in:", "", "  loginctl enable-linger"]
    return "\n".join(lines)
