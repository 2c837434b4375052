"""Hermes' own terminal UI, in a terminal, attached to a real Hermes."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from tests.conftest import hermes_python
from tests.fake_model import FakeModel
from tests.system.conftest import Server, World, kill_worker, wait_until
from tests.system.screen import Screen

pytestmark = [pytest.mark.hermes, pytest.mark.ui]

#: The newest release of the UI, before the oldest Hermes that is served and the newest.
VERSIONS = ["0.14.0", "0.19.0"]


def attach(world: World, server: Server, screens: list[Screen]) -> Screen:
    """A UI on *server*, among the *screens* that the test's end closes."""
    screen = Screen(world.directory, f"ws://127.0.0.1:{server.port}/api/ws?token={server.key}")
    screens.append(screen)
    return screen


@pytest.fixture
def screens() -> Iterator[list[Screen]]:
    """Those that a test has opened."""
    opened: list[Screen] = []
    yield opened
    for screen in opened:
        screen.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_conversation(
    version: str, world: World, free_port: int, model: FakeModel, screens: list[Screen]
) -> None:
    world.configure_hermes(model, hermes_python(version))
    server = world.twistd(free_port)
    screen = attach(world, server, screens)

    screen.shows("─ ready │ fake model")

    screen.type("first tokens=40 rate=40")
    screen.shows("w0 w1 w2", "w38 w39")

    screen.shows("─ ready │")
    screen.type('tool=terminal args={"command": "rm -rf /tmp/some-nonexistent-path-xyz"} tokens=60')
    screen.shows("approval required", "1. Allow once")
    screen.press("Enter")
    screen.shows("w58 w59", "─ ready │")

    screen.type("second tokens=80")
    screen.shows("w78 w79")
    if version != "0.14.0":
        # Before 0.14 this UI was once seen to go on showing "running…" under a reply that
        # had arrived whole; why is not known.
        screen.shows("─ ready │")

    server.terminate()
    screen.shows("The attach server is stopping; this terminal will be disconnected.")


def test_new_ui_does_not_complain_of_an_old_hermes(
    world: World, free_port: int, model: FakeModel, screens: list[Screen]
) -> None:
    """Not every other second, at any rate."""
    world.configure_hermes(model, hermes_python("0.14.0"))
    server = world.twistd(free_port)
    screen = attach(world, server, screens)

    screen.shows("─ ready │ fake model")

    screen.type("first tokens=80 rate=40")
    screen.shows("w78 w79", "─ ready │")
    assert "unknown method" not in screen.text


def test_hermes_cannot_be_found(world: World, free_port: int, screens: list[Screen]) -> None:
    """The user reads, in the terminal, what the operator has to do."""
    world.environment["HERMES_ATTACH_HERMES_PYTHON"] = sys.executable
    server = world.twistd(free_port)

    screen = attach(world, server, screens)

    screen.shows("Hermes cannot be served.", "--hermes-python")


def test_worker_is_killed(
    world: World, free_port: int, model: FakeModel, screens: list[Screen]
) -> None:
    """The UI says so, stays attached, and opens a new session by itself."""
    world.configure_hermes(model, hermes_python("0.19.0"))
    server = world.twistd(free_port)
    screen = attach(world, server, screens)
    screen.shows("─ ready │ fake model", "Session: ")
    session = screen.session

    kill_worker(server)

    screen.shows("was killed by SIGKILL. It is being started again.")
    wait_until(lambda: screen.session not in ("", session), "the next session")
    screen.shows("─ ready │ fake model")
    screen.type("again tokens=40")
    screen.shows("w38 w39")
