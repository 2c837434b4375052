"""How the shells of a client's machine set a variable."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: The first is the one that is shown where there is room for one.
SHELLS: Final[dict[str, tuple[str, Callable[[str, str], str]]]] = {
    "posix": ("bash, zsh", lambda name, value: f"export {name}={_single(value)}"),
    "fish": ("fish", lambda name, value: f"set -gx {name} {_single(value)}"),
    "powershell": ("PowerShell", lambda name, value: f"$env:{name} = {_single(value)}"),
    "cmd": ("cmd", lambda name, value: f'set "{name}={value}"'),
}
_ALIASES: Final = {"bash": "posix", "zsh": "posix", "sh": "posix", "pwsh": "powershell"}


def shell(name: str) -> str:
    """The shell of that name. Raises `ValueError`."""
    found = _ALIASES.get(name.lower(), name.lower())
    if found not in SHELLS:
        raise ValueError("must be one of bash, zsh, fish, powershell, cmd")
    return found


def assignment(shell: str, name: str, value: str) -> str:
    """The line that sets a variable for the programs that are started from *shell*."""
    return SHELLS[shell][1](name, value)


def assignments(name: str, value: str) -> str:
    """The same for each shell, with its name above it."""
    return "\n".join(f"  {title}:\n    {line(name, value)}" for title, line in SHELLS.values())


def _single(value: str) -> str:
    # No shell's rules for quotes within quotes are those of another.
    if "'" in value:
        raise ValueError("a single quote cannot stand in this value")
    return f"'{value}'"
