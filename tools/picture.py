"""Makes docs/images/terminal.svg: the stock terminal UI, attached to `hermes-attach demo`.

`python -m tools.picture`, or `make picture`, with Node.js, tmux and the newest Hermes
that the tests use. What is drawn is what tmux says is on the screen, nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from tests.conftest import ROOT, hermes_python

PICTURE = ROOT / "docs" / "images" / "terminal.svg"
RELEASE = "0.19.0"
COLUMNS, ROWS = 96, 26
#: The UI shows where it was started: a directory that says nothing about this machine.
DIRECTORY = "/srv"
#: What is typed, and how the recorded reply to it ends.
CONVERSATION = {
    "Hello, are you there?": "tool call",
    "Say hi from the server.": "SSH",
}
#: In the UI's status line, when it waits for a prompt.
READY = "ready"
#: Seconds that each step may take.
PATIENCE = 60.0

#: rich's own, without the fonts that it fetches from another host.
SVG = """\
<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <title>The terminal UI of Hermes Agent, attached to hermes-attach demo</title>
    <style>
    .{unique_id}-matrix {{
        font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def draw(screen: str) -> str:
    """The SVG of a screen's text with its colours, as `tmux capture-pane -e` gives it."""
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        for line in screen.rstrip("\n").split("\n"):
            console.print(Text.from_ansi(line), no_wrap=True, overflow="crop")
    return console.export_svg(
        title="hermes --tui", theme=MONOKAI, code_format=SVG, unique_id="terminal"
    )


class Terminal:
    """tmux, with a server of its own."""

    def __init__(self, directory: Path) -> None:
        self._home = directory
        self._tmux = [str(shutil.which("tmux")), "-S", str(directory / "tmux"), "-f", os.devnull]

    def run(self, *command: str) -> str:
        environment = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8"}
        return subprocess.run(
            [*self._tmux, *command], check=True, stdout=subprocess.PIPE, text=True, env=environment
        ).stdout

    def start(self, name: str, command: list[str], **more: str) -> None:
        """Run *command* in a terminal of this name, with *more* in its environment."""
        variables = {"PATH": os.environ["PATH"], "HOME": str(self._home), "LANG": "C.UTF-8"}
        variables |= {"TERM": "xterm-256color", "COLORTERM": "truecolor"} | more
        self.run(
            "new-session", "-d", "-s", name, "-c", DIRECTORY, "-x", str(COLUMNS), "-y", str(ROWS),
            "env", "-i", *[f"{name}={value}" for name, value in variables.items()], *command,
        )  # fmt: skip

    def wait_for(self, name: str, pattern: str) -> str:
        """What of *pattern*'s first group is to be seen, as soon as it is."""
        end = time.monotonic() + PATIENCE
        while True:
            screen = self.run("capture-pane", "-p", "-J", "-t", name)
            if found := re.search(pattern, screen):
                return found[0]
            if time.monotonic() > end:
                raise SystemExit(f"{name} never showed {pattern}:\n{screen}")
            time.sleep(0.2)


def take() -> str:
    """The screen at the end of the demonstration's conversation."""
    (entry,) = (
        hermes_python(RELEASE)
        .parents[1]
        .glob("lib/python3.*/site-packages/hermes_cli/tui_dist/entry.js")
    )
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    command = [sys.executable, "-c", "from hermes_twisted.cli.main import main; main()"]
    with tempfile.TemporaryDirectory(prefix="picture-") as directory:
        terminal = Terminal(Path(directory))
        try:
            # On a terminal, because only there it shows its key.
            terminal.start("server", [*command, "demo", "--port", port])
            url = terminal.wait_for("server", r"ws://[^'\s]+token=[^'\s]{20,}")
            terminal.start("ui", ["node", str(entry)], HERMES_TUI_GATEWAY_URL=url)
            terminal.wait_for("ui", READY)
            for prompt, end in CONVERSATION.items():
                terminal.run("send-keys", "-t", "ui", "-l", prompt)
                terminal.wait_for("ui", re.escape(prompt))
                terminal.run("send-keys", "-t", "ui", "Enter")
                terminal.wait_for("ui", end)
                terminal.wait_for("ui", READY)
            return terminal.run("capture-pane", "-e", "-p", "-t", "ui")
        finally:
            # It takes the hang-up of a terminal that goes for a reload.
            server = int(terminal.run("display", "-p", "-t", "server", "#{pane_pid}"))
            os.kill(server, signal.SIGTERM)
            terminal.run("kill-server")


if __name__ == "__main__":
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(draw(take()), encoding="utf-8")
    print(PICTURE.relative_to(ROOT))
