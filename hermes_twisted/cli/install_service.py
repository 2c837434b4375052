"""`hermes-attach install-service`: write unit files for systemd, and show how to start them."""

from __future__ import annotations

import dataclasses
import getpass
import os
import re
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from ..config.environment import read_environment
from ..config.kinds import PATH, TIME
from ..config.option import Kind
from ..server import settings
from ..server.assemble import find_hermes_python
from ..server.settings import Settings
from ..shared.problem import Problem
from .commands import Command, KindType, given_of, of_server, wrong_usage
from .serve import serve
from .units import UnitPlan, service_unit, socket_unit

SYSTEM_UNITS: Final = Path("/etc/systemd/system")
_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_LISTEN: Final = re.compile(r"(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}|[/@].+")


def _address(text: str) -> str:
    if _LISTEN.fullmatch(text) is None:
        raise ValueError("must be an address and port such as 127.0.0.1:8643, or a path")
    return text


_ADDRESS: Final[Kind[str]] = Kind("ADDRESS", _address)


@click.command("install-service", cls=Command)
@click.option("--user", is_flag=True, help="For your own systemd instance (the default).")
@click.option("--system", is_flag=True, help="For the machine's, in /etc/systemd/system.")
@click.option(
    "--name",
    metavar="NAME",
    default="hermes-attach",
    help="The units' name (default: hermes-attach).",
)
@click.option(
    "-l",
    "--listen",
    type=KindType(_ADDRESS),
    metavar="ADDRESS",
    default="127.0.0.1:8643",
    help="Address to listen on, such as [::1]:8643 or a path (default: 127.0.0.1:8643).",
)
@click.option("--run-as", metavar="USER", help="The user of a system service (default: you).")
@of_server(settings.options()["hermes-home"], type=KindType(PATH))
@of_server(
    settings.options()["key-file"],
    type=KindType(PATH),
    help="File with a key, which systemd passes to the service as a credential.",
)
@of_server(settings.options()["drain"], type=KindType(TIME), default=Settings.drain)
@click.option("-n", "--dry-run", is_flag=True, help="Show the files, write nothing.")
@click.option("-f", "--force", is_flag=True, help="Replace files that differ.")
@click.argument("more", nargs=-1, metavar="[-- OPTIONS OF SERVE]")
def install_service(
    user: bool,
    system: bool,
    name: str,
    dry_run: bool,
    force: bool,
    more: tuple[str, ...],
    **chosen: Any,
) -> None:
    """Write a service and a socket unit for systemd, and show the commands that start them.

    systemd keeps listening while the server restarts. More options of `hermes-attach
    serve` follow after --.
    """
    ctx = click.get_current_context()
    if user and system:
        raise click.UsageError("--user and --system exclude each other.", ctx)
    if _NAME.fullmatch(name) is None:
        raise click.UsageError("--name: letters, digits, - and _ only.", ctx)
    environ = read_environment()
    plan = _plan(ctx, more, environ, system=system, **chosen)
    units = {f"{name}.socket": socket_unit(plan), f"{name}.service": service_unit(plan, name)}
    folder = SYSTEM_UNITS if system else _user_units(environ)
    if dry_run:
        click.echo("\n".join(f"# {folder / file}\n{text}" for file, text in units.items()))
        return
    for file, text in units.items():
        _write(folder / file, text, force=force)
    click.echo(_next_steps(folder, name, system=system))


def _plan(
    ctx: click.Context,
    more: Sequence[str],
    environ: Mapping[str, str],
    *,
    system: bool,
    listen: str,
    run_as: str | None,
    hermes_home: Path | None,
    key_file: Path | None,
    drain: float,
) -> UnitPlan:
    """Return the plan of the units. Raises `Problem` and `click.UsageError`."""
    plan = UnitPlan(
        command=_own_command(),
        listen=(listen,),
        home=hermes_home,
        key_file=key_file,
        user=(run_as or getpass.getuser()) if system else None,
        drain=drain,
        options=more,
    )
    _check_options(ctx, more, plan)
    return dataclasses.replace(plan, options=(*_hermes_python(more, environ), *more))


def _check_options(ctx: click.Context, more: Sequence[str], plan: UnitPlan) -> None:
    """Raise `click.UsageError` for options that `hermes-attach serve` would refuse.

    The settings file is not read: it may be another user's, and may not be there yet.
    """
    command = [*more, "--listen=systemd:domain=INET", f"--drain={plan.drain:g}"]
    given = given_of(serve.make_context("hermes-attach serve", command, parent=ctx))
    if plan.home is not None:
        given["hermes-home"] = str(plan.home)
    del given["config"]
    with wrong_usage():
        Settings.gather(given, {})


def _hermes_python(more: Sequence[str], environ: Mapping[str, str]) -> Sequence[str]:
    """Return the option for Hermes' interpreter, found here and now: a service has another PATH."""
    if any(word.startswith("--hermes-python") for word in more):
        return ()
    try:
        return (f"--hermes-python={find_hermes_python(environ)}",)
    except Problem as absent:
        raise Problem(
            absent.what, f"{absent.advice} For the unit: -- --hermes-python=PATH.".strip()
        ) from None


def _own_command() -> Path:
    """Return the program to start: beside this interpreter, or else on PATH."""
    beside = Path(sys.executable).with_name("hermes-attach")
    if beside.exists():
        return beside
    found = shutil.which("hermes-attach")
    if found is None:
        raise Problem(
            "The program hermes-attach was found neither beside this Python nor on PATH.",
            "Install hermes-twisted with pip or pipx first.",
        )
    return Path(found).absolute()


def _user_units(environ: Mapping[str, str]) -> Path:
    config = environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return Path(config) / "systemd" / "user"


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        if path.exists() and path.read_text(encoding="utf-8") != text and not force:
            raise Problem(
                f"{path} exists and differs.",
                "Compare with --dry-run; --force replaces it.",
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Problem(
            f"{path} cannot be written: {error.strerror}.",
            "For --system, run it as root; --dry-run shows what would be written.",
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
