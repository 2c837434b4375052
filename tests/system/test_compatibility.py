"""Every UI that ships in a wheel before every Hermes that is served, and its connection lost.

`make test-matrix` runs all of them and records what it finds (see `tools/recording.py`);
otherwise those of the releases that the other tests use.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import find_port
from tests.fake_model import FakeModel
from tests.system.conftest import wait_until
from tests.system.hermes import RELEASES, new_world
from tests.system.relay import Relay
from tests.system.screen import UI_RELEASES, Screen, node_version

pytestmark = [pytest.mark.hermes, pytest.mark.ui]

#: What a UI does when its socket is gone.
RECOVERS = "recovers by itself"
GIVES_UP = "stays at `gateway exited`; does not connect again by itself"
DEAF = "connects again but shows nothing more; has to be restarted"
AFTER_A_DROP = {
    "0.15.2": GIVES_UP,
    "0.16.0": RECOVERS,
    "0.17.0": RECOVERS,
    "0.18.2": DEAF,
    "0.19.0": DEAF,
}


@contextlib.contextmanager
def attached(
    ui: str, hermes: str, tmp_path_factory: pytest.TempPathFactory, model: FakeModel
) -> Iterator[tuple[Screen, Relay]]:
    """A UI before a real Hermes, with something between them that can be cut."""
    world = new_world(hermes, tmp_path_factory, model)
    with contextlib.ExitStack() as stack:
        stack.callback(world.close)
        # The relay has a port of its own, and the UI names it.
        server = world.twistd(find_port(), "--allow-host=127.0.0.1")
        relay = stack.enter_context(contextlib.closing(Relay(server.port)))
        url = f"ws://127.0.0.1:{relay.port}/api/ws?token={server.key}"
        screen = stack.enter_context(contextlib.closing(Screen(world.directory, url, ui)))
        yield screen, relay


@pytest.mark.parametrize("hermes", RELEASES)
@pytest.mark.parametrize("ui", [release for release in UI_RELEASES if release in RELEASES])
def test_ui(
    ui: str,
    hermes: str,
    tmp_path_factory: pytest.TempPathFactory,
    model: FakeModel,
    record_property: Callable[[str, object], None],
) -> None:
    record_property("node", node_version(ui))
    with attached(ui, hermes, tmp_path_factory, model) as (screen, relay):
        screen.shows("─ ready │ fake model")

        screen.type("first tokens=40 rate=40")
        screen.shows("w0 w1 w2", "w38 w39", "─ ready │")
        assert "unknown method" not in screen.text

        record_property("reply", "yes")

        screen.type("second tokens=120 rate=25")
        screen.shows("w45")
        relay.cut()

        if AFTER_A_DROP[ui] == RECOVERS:
            screen.shows("w118 w119", "─ ready │")
            screen.type("third tokens=140")
            screen.shows("w138 w139", "─ ready │")
        else:
            screen.shows("gateway exited")
            if AFTER_A_DROP[ui] == DEAF:
                wait_until(lambda: relay.accepted == 2, "the UI to connect again")
            screen.type("third tokens=140")
            # It keeps the prompt for a session that it does not get any more.
            screen.shows("queued (1)", "─ gateway exited │")
        record_property("after_a_drop", AFTER_A_DROP[ui])
