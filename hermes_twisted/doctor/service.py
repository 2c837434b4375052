"""Checks how the server is run here: twistd's plugin cache, its pid file, systemd."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from .findings import Finding, ok, problem, warning

PLUGIN: Final = "hermes_attach.py"
UNIT: Final = "hermes-attach.service"
_CACHE: Final = "dropin.cache"
_TIMEOUT: Final = 10.0

#: Runs a command and returns its output; None if it cannot be run.
Run = Callable[[list[str]], str | None]


def plugin_folders() -> list[Path]:
    """Return the folders in which twistd looks for plugins."""
    import twisted.plugins

    return [Path(folder) for folder in twisted.plugins.__path__]


def check_plugin_cache(
    folders: Iterable[Path],
    writable: Callable[[Path], bool] = lambda path: os.access(path, os.W_OK),
) -> Finding:
    """Check that twistd finds the plugin, and that its cache is fresh or can be written."""
    folder = next((folder for folder in folders if (folder / PLUGIN).is_file()), None)
    if folder is None:
        return problem(
            "plugin",
            "twistd does not find the plugin hermes-attach.",
            f"No folder of twisted.plugins has {PLUGIN}.",
            "Reinstall hermes-twisted in this environment; hermes-attach serve works all the same.",
        )
    cache = folder / _CACHE
    try:
        fresh = cache.stat().st_mtime >= (folder / PLUGIN).stat().st_mtime
        known = fresh and PLUGIN.removesuffix(".py").encode() in cache.read_bytes()
    except OSError:
        known = False
    if known:
        return ok("plugin", f"twistd knows the plugin, and {cache} is fresh")
    if writable(folder):
        return ok("plugin", "twistd finds the plugin; it renews its cache at the next start")
    return warning(
        "plugin",
        f"twistd's plugin cache {cache} is missing or old, and cannot be written.",
        "Every twistd then imports every plugin first, and one of those may install another "
        "reactor: hermes-attach refuses to start in that case.",
        f"Run twistd --help once as the owner of {folder}, or start with hermes-attach serve.",
    )


def check_pid_file(path: Path, proc: Path = Path("/proc")) -> list[Finding]:
    """Check that the daemon in a pid file runs. No findings without such a file."""
    try:
        text = path.read_text().strip()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeError):
        text = ""
    if not text.isdecimal():
        return [
            problem(
                "service",
                f"{path} has no process number in it, or cannot be read.",
                "twistd refuses to start with such a pid file.",
                f"Remove {path} if no twistd uses it, or name another with twistd --pidfile.",
            )
        ]
    try:
        command = (proc / text / "cmdline").read_bytes()
    except OSError:
        return [
            warning(
                "service",
                f"{path} names process {text}, which does not run.",
                "The daemon was killed, or the machine restarted; twistd removes the file itself.",
                "Start it again, and look at the end of its log for the reason.",
            )
        ]
    if b"hermes-attach" in command:
        return [ok("service", f"the daemon of {path} runs: process {text}")]
    return [
        problem(
            "service",
            f"{path} names process {text}, which is another program.",
            "twistd takes that for a running server, and refuses to start.",
            f"Remove {path}.",
        )
    ]


def runner(environ: Mapping[str, str]) -> Run:
    """Return a runner for commands that only read."""

    def run(command: list[str]) -> str | None:
        program = shutil.which(command[0], path=environ.get("PATH"))
        if program is None:
            return None
        try:
            done = subprocess.run(  # noqa: S603  (systemctl, with fixed arguments)
                [program, *command[1:]],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_TIMEOUT,
                env=dict(environ),
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout

    return run


def check_unit(run: Run, booted: bool = Path("/run/systemd/system").is_dir()) -> list[Finding]:
    """Check the state of the systemd units, the system's and the user's. *booted*: with systemd."""
    if not booted:
        return []
    findings = []
    for whose in ("--system", "--user"):
        shown = run(
            ["systemctl", whose, "show", UNIT, "--property=LoadState,ActiveState,SubState,Result"]
        )
        state = dict(line.split("=", 1) for line in (shown or "").splitlines() if "=" in line)
        if state.get("LoadState") in (None, "not-found"):
            continue
        findings.append(_judge_unit(whose, state))
    return findings


def _judge_unit(whose: str, state: dict[str, str]) -> Finding:
    active = state.get("ActiveState", "unknown")
    unit = f"{UNIT} ({whose.removeprefix('--')})"
    logs = f"journalctl {whose} --unit {UNIT} --lines 50".replace("--system ", "")
    if active in ("active", "reloading"):
        return ok("service", f"{unit} is active, {state.get('SubState', '')}")
    if active == "failed":
        return problem(
            "service",
            f"{unit} has failed: {state.get('Result', 'no reason given')}.",
            "systemd does not restart it any more.",
            f"Read {logs}; then systemctl {whose} restart {UNIT}.",
        )
    return warning(
        "service",
        f"{unit} is {active}.",
        "It is installed, and does not run.",
        f"Start it: systemctl {whose} enable --now {UNIT}.",
    )
