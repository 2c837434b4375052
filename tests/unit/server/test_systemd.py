from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from hermes_twisted.server.systemd import Manager, Reporter


class Loop(Clock):
    """A clock with the end of a reactor."""

    def __init__(self) -> None:
        super().__init__()
        self.at_the_end: list[Any] = []

    def addSystemEventTrigger(self, phase: str, event: str, f: Any) -> None:  # noqa: N802
        assert (phase, event) == ("after", "shutdown")
        self.at_the_end.append(f)


class Listener:
    """systemd's end of the socket."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.setblocking(False)

    def heard(self) -> list[str]:
        """The messages so far."""
        messages = []
        while True:
            try:
                messages.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return messages


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Listener]:
    name = str(tmp_path / "notify")
    listener = Listener(name if request.param == "path" else f"@{name}")
    yield listener
    listener.socket.close()


def test_a_life(systemd: Listener) -> None:
    """Ready when the loop runs, signs of life at half the interval, to the very end."""
    environ = {"NOTIFY_SOCKET": systemd.address, "WATCHDOG_USEC": "30000000", "OTHER": "x"}
    manager = Manager.take(environ, 4711)
    assert manager is not None
    loop = Loop()
    reporter = Reporter(loop, manager, 600.0)  # type: ignore[arg-type]

    reporter.startService()
    assert systemd.heard() == []
    loop.advance(0)
    assert systemd.heard() == [f"READY=1\nMAINPID={os.getpid()}", "WATCHDOG=1"]
    loop.advance(14.9)
    assert systemd.heard() == []
    loop.advance(0.2)
    assert systemd.heard() == ["WATCHDOG=1"]

    reporter.stopService()
    assert systemd.heard() == ["STOPPING=1\nEXTEND_TIMEOUT_USEC=615000000"]
    loop.advance(15)
    assert systemd.heard() == ["WATCHDOG=1"]
    for end in loop.at_the_end:
        end()
    loop.advance(100)
    assert systemd.heard() == []
    assert not loop.getDelayedCalls()
    assert environ == {"OTHER": "x"}


def test_reload(systemd: Listener) -> None:
    """Begun with the time, as systemd wants it, and ended, also when it fails."""
    manager = Manager(systemd.address)
    reporter = Reporter(Loop(), manager, 10.0)  # type: ignore[arg-type]
    done = []

    reporter.reloading(lambda: done.append("reloaded"))

    first, last = systemd.heard()
    assert first.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert int(first.partition("USEC=")[2]) > 0
    assert last == "READY=1"
    assert done == ["reloaded"]
    with pytest.raises(ZeroDivisionError):
        reporter.reloading(lambda: 1 // 0)  # type: ignore[arg-type, return-value]
    assert systemd.heard()[-1] == "READY=1"


def test_stopped_before_it_ran(systemd: Listener) -> None:
    """A service that is stopped at once does not report that it is ready."""
    loop = Loop()
    reporter = Reporter(loop, Manager(systemd.address, 30.0), 10.0)  # type: ignore[arg-type]
    reporter.startService()
    reporter.stopService()
    systemd.heard()

    loop.advance(1)

    assert systemd.heard() == []


@pytest.mark.parametrize(
    ("environ", "watchdog"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "2000000"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "4711"}, 2.0),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_watchdog(environ: dict[str, str], watchdog: float | None) -> None:
    """Only what is meant for this process, and a number."""
    manager = Manager.take({"NOTIFY_SOCKET": "/run/x", **environ}, 4711)

    assert manager is not None
    assert manager.watchdog == watchdog


def test_no_systemd() -> None:
    """Most often nobody asks."""
    environ = {"WATCHDOG_USEC": "1"}

    assert Manager.take(environ, 1) is None
    assert environ == {}


def test_systemd_is_gone(tmp_path: Path) -> None:
    """The service goes on without."""
    Manager(str(tmp_path / "nobody")).say("READY=1")
