"""Real releases of Hermes behind a real server: what the tests of all of them share."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import find_port, hermes_python
from tests.fake_model import FakeModel
from tests.system.conftest import Client, Server, World, wait_until

#: Those to test against: unless told otherwise the oldest that is served, and the newest.
RELEASES = os.environ.get("HERMES_RELEASES", "0.14.0 0.19.0").split()


def submit(client: Client, session: str, text: str) -> None:
    """Send a prompt; also right behind a turn, which 0.14 counts as running for a moment more."""
    client.call("prompt.submit", session_id=session, text=text)


def stored_key(client: Client, created: dict[str, Any], preview: str) -> str:
    """What `session.resume` takes; before 0.16 the list alone tells it."""
    if "stored_session_id" in created:
        return str(created["stored_session_id"])

    def listed() -> str:
        sessions = client.call("session.list", limit=50)["sessions"]
        return next((row["id"] for row in sessions if preview in str(row)), "")

    return str(wait_until(listed, "the session in the list"))


def drop(client: Client) -> None:
    """Cut a client's connection, as a network does."""
    client.socket.socket.shutdown(socket.SHUT_RDWR)


def new_world(version: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel) -> World:
    """A place for servers with this release of Hermes."""
    world = World(tmp_path_factory.mktemp("hermes"))
    world.configure_hermes(model, hermes_python(version))
    return world


@contextlib.contextmanager
def serving(
    version: str,
    tmp_path_factory: pytest.TempPathFactory,
    model: FakeModel,
    *options: str,
    **environment: str,
) -> Iterator[Server]:
    """A server with this release of Hermes; the worker sees this *environment* too."""
    world = new_world(version, tmp_path_factory, model)
    world.environment.update(environment)
    try:
        yield world.twistd(find_port(), *options)
    finally:
        world.close()
