"""The log as the operator reads it: in the foreground, in a daemon's file, rotated."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from .conftest import Server, World, wait_until

LINE = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d{4} (debug|info |warn |error|critical) \S.*"
)


def start_daemon(world: World, port: int, *options: str) -> Server:
    pid, log = world.directory / f"pid-{port}", world.directory / f"log-{port}"
    command = ["twistd", f"--pidfile={pid}", f"--logfile={log}", "hermes-attach", f"--port={port}"]
    return world.start([*command, *options], port).wait_for_daemon()


def parsed(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def messages(text: str) -> list[str]:
    return [line["message"] for line in parsed(text)]


@pytest.mark.parametrize(
    "command",
    [["twistd", "--nodaemon", "--pidfile=", "hermes-attach"], ["hermes-attach", "serve"]],
    ids=lambda c: c[0],
)
def test_text(world: World, free_port: int, command: list[str]) -> None:
    """One line an event: time, level, message."""
    server = world.start([*command, f"--port={free_port}"], free_port).wait_for_port()
    client = server.client()
    client.call("print", text="said by Hermes")
    wait_until(lambda: "said by Hermes" in server.output, "the line")
    server.terminate()
    server.ended()

    lines = server.output.splitlines()

    assert all(LINE.fullmatch(line) for line in lines), lines
    assert any(line.endswith(f"info  listening on 127.0.0.1:{free_port}") for line in lines)
    assert any(line.endswith("info  hermes: said by Hermes") for line in lines)


def test_json(world: World, free_port: int) -> None:
    """Every line, from the first to the last, is an object."""
    server = world.twistd(free_port, "--log-format=json")
    server.client().call("print", text='a "line"')
    wait_until(lambda: 'a \\"line' in server.output, "the line")
    server.terminate()
    server.ended()

    lines = parsed(server.output)

    (attached,) = (line for line in lines if "attached" in line["message"])
    assert attached["level"] == "info"
    assert attached["namespace"] == "hermes_twisted.seats.directory.Directory"
    assert attached["time"].endswith("Z")
    assert attached["fields"]["seat"] == 1
    (said,) = (line for line in lines if line["message"] == 'a "line"')
    assert said["namespace"] == "hermes_twisted.worker"


def test_level(world: World, free_port: int) -> None:
    """Of Hermes and of ourselves only what is a warning or worse."""
    world.environment["HERMES_ATTACH_LOG_LEVEL"] = "warn"
    server = world.twistd(free_port)
    client = server.client()
    client.call("print", text="said by Hermes")
    client.call("print", text="WARNING stub: beware")

    wait_until(lambda: "beware" in server.output, "the warning")

    assert server.output.count("\n") == 1
    assert " warn  hermes: stub: beware\n" in server.output


def test_twist(world: World, free_port: int) -> None:
    """twist has a log of its own, which ours replaces where it is asked for."""
    command = ["twist", "hermes-attach", f"--port={free_port}", "--log-format=text"]
    server = world.start([*command, "--log-level=warn"], free_port).wait_for_port()
    server.client().call("print", text="ERROR stub: alas")

    wait_until(lambda: "alas" in server.output, "the error")

    assert all(LINE.fullmatch(line) for line in server.output.splitlines())


def test_no_secret(world: World, free_port: int) -> None:
    """What Hermes prints by mistake is hidden in every form."""
    server = world.twistd(free_port, "--log-format=json")

    server.client().call("print", text=f"WARNING stub: the key is {world.key}, alas")

    wait_until(lambda: "alas" in server.output, "the warning")
    assert "the key is [redacted], alas" in server.output


@pytest.mark.parametrize(
    ("before", "after", "part"),
    [
        (
            ["--logger=twisted.logger.FilteringLogObserver"],
            ["--log-format=json"],
            "do not apply to twistd's --logger",
        ),
        (["--syslog"], ["--log-format=json"], "--log-format json does not apply to --syslog"),
        ([], ["--log-level=loud"], "must be one of debug, info, warn, error"),
    ],
)
def test_mistakes(world: World, before: list[str], after: list[str], part: str) -> None:
    ended = world.run("twistd", "-n", "--pidfile=", *before, "hermes-attach", *after)

    assert ended.returncode == 1
    assert part in ended.stdout
    assert "Traceback" not in ended.stdout


def test_daemon_cannot_log_to_stdout(world: World) -> None:
    ended = world.run("twistd", "--logfile=-", "hermes-attach")

    assert ended.returncode == 1
    assert "Daemons cannot log to stdout" in ended.stdout


class TestDaemon:
    """Classic daemon mode: a pid file, a log file, and SIGUSR1 to begin the next."""

    @pytest.mark.parametrize("form", ["text", "json"])
    def test_rotation(self, world: World, free_port: int, form: str) -> None:
        server = start_daemon(world, free_port, f"--log-format={form}")
        former = Path(f"{server.log_path}.1")
        client = server.client()

        os.kill(server.pid, signal.SIGUSR1)
        wait_until(former.exists, "the former file")
        client.call("print", text="after the rotation")

        wait_until(lambda: "after the rotation" in server.log_path.read_text(), "the new file")
        assert "listening on" in former.read_text()
        assert "listening on" not in server.log_path.read_text()
        assert former.stat().st_mode & 0o777 == 0o600
        assert server.log_path.stat().st_mode & 0o777 == 0o600
        if form == "json":
            assert "after the rotation" in messages(server.log_path.read_text())
            assert messages(former.read_text())
        # Nobody was disconnected for it.
        assert client.call("echo", n=1) == {"n": 1}

    def test_signals(self, world: World, free_port: int) -> None:
        """By the pid file: SIGHUP reloads, SIGTERM ends, and the pid file goes."""
        server = start_daemon(world, free_port)
        client = server.client()
        pid = int(server.pid_path.read_text())

        os.kill(pid, signal.SIGHUP)
        wait_until(lambda: "reloading" in server.output, "the reload")
        assert client.call("echo", n=1) == {"n": 1}

        os.kill(pid, signal.SIGTERM)
        server.ended()
        assert client.closed()[0] == 1001
        assert not server.pid_path.exists()
        assert "Server Shut Down" in server.output
