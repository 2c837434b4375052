"""Background results of chats and terminals, in one queue with two sides."""

from __future__ import annotations

import queue
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures import background_results
from hermes_twisted.hermes.cures.background_results import SplitResults, keep_apart, split_results
from hermes_twisted.shared.problem import Problem
from tests.unit.hermes.cures.functions import make_function

CHAT = {"session_key": "agent:main:telegram:dm:42"}


class Two:
    """A queue, and who asks."""

    def __init__(self, sessions: dict[str, dict[str, Any]] | None = None) -> None:
        self.sessions = sessions if sessions is not None else {"s1": {"session_key": "key-1"}}
        self.gateway = False
        self.queue = SplitResults(self.sessions, lambda: self.gateway)

    def read(self, *, gateway: bool) -> list[background_results.Event]:
        """All that one side gets."""
        self.gateway = gateway
        found = []
        while not self.queue.empty():
            found.append(self.queue.get_nowait())
        assert self.queue.qsize() == 0
        return found


@pytest.fixture
def two() -> Two:
    return Two()


def test_each_side_gets_its_own(two: Two) -> None:
    """In order, whoever puts it."""
    mine = [{"session_key": "key-1", "n": 1}, {"session_key": "key-1", "n": 2}]
    events = [CHAT, mine[0], {"session_key": ""}, mine[1], {}]

    for event in events:
        two.queue.put(event)

    assert two.read(gateway=False) == mine
    assert two.read(gateway=True) == [CHAT, {"session_key": ""}, {}]


def test_unknown_keys_are_the_gateways(two: Two) -> None:
    """REST runs and cron jobs have keys too, and no terminal is to see them."""
    two.queue.put_nowait({"session_key": "api-run"})

    assert two.read(gateway=False) == []
    assert two.read(gateway=True) == [{"session_key": "api-run"}]


def test_a_terminals_mark_is_enough(two: Two) -> None:
    """Work of a terminal session, whatever has become of its key."""
    event = {"session_key": "other", "origin_ui_session_id": "s9"}

    two.queue.put(event)

    assert two.read(gateway=True) == []
    assert two.read(gateway=False) == [event]


@pytest.mark.parametrize("change", ["rotated", "ended", "of the agent"])
def test_former_keys_are_remembered(two: Two, change: str) -> None:
    """Compression gives a session another key; work begun before carries the old one."""
    if change == "of the agent":
        two.sessions["s1"] = {"session_key": "key-9", "agent": SimpleNamespace(session_id="key-1")}
    with pytest.raises(queue.Empty):
        two.queue.get_nowait()  # Its poller asks all the time.
    if change == "rotated":
        two.sessions["s1"] = {"session_key": "key-2"}
    else:
        del two.sessions["s1"]

    two.queue.put({"session_key": "key-1"})

    assert two.read(gateway=False) == [{"session_key": "key-1"}]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest keys are forgotten, the oldest results of ended sessions left out."""
    monkeypatch.setattr(background_results, "KEYS", 2)
    two = Two()
    monkeypatch.setattr(background_results, "WAITING", 2)
    for number in range(4):
        two.sessions["s1"] = {"session_key": f"key-{number}"}
        two.queue.put({"session_key": f"key-{number}"})

    two.queue.put({"session_key": "key-0"})

    assert two.read(gateway=False) == [{"session_key": "key-2"}, {"session_key": "key-3"}]
    assert two.read(gateway=True) == [{"session_key": "key-0"}]


def test_waiting_is_for_the_side_that_asks(two: Two) -> None:
    """A poller's wait ends by its own results only."""
    two.queue.put(CHAT)

    with pytest.raises(queue.Empty):
        two.queue.get(timeout=0.01)


def test_what_waits_is_kept() -> None:
    """At the change of queues, and a second time nothing changes."""
    former: queue.Queue[background_results.Event] = queue.Queue()
    former.put(CHAT)
    former.put({"session_key": "key-1"})
    registry = SimpleNamespace(completion_queue=former)
    server = ModuleType("server")
    server._sessions = {"s1": {"session_key": "key-1"}}  # type: ignore[attr-defined]

    split_results(server, registry, lambda: False)
    first = registry.completion_queue
    split_results(server, registry, lambda: False)

    assert registry.completion_queue is first
    assert first.get_nowait() == {"session_key": "key-1"}
    assert first.empty()


class TestInGateway:
    """Applied and tried in a gateway."""

    def spoil_module(self, registry: Any, server: Any) -> None:
        sys.modules["tools.process_registry"] = ModuleType("tools.process_registry")

    def spoil_queue(self, registry: Any, server: Any) -> None:
        registry.completion_queue = []

    def spoil_reader(self, registry: Any, server: Any) -> None:
        make_function("def _notification_poller_loop(registry): return registry.other", server)

    @pytest.mark.parametrize("spoil", [spoil_module, spoil_queue, spoil_reader])
    def test_absent(
        self, server: Any, registry: Any, spoil: Callable[[Any, Any, Any], None]
    ) -> None:
        spoil(self, registry, server)

        with pytest.raises(Problem, match="background results"):
            keep_apart(server, lambda: False)

    def test_do_not_stay_apart(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tried before anybody is served."""
        monkeypatch.setattr(SplitResults, "_is_for_terminals", lambda self, event: True)

        with pytest.raises(Problem, match="would take the background results of chats"):
            keep_apart(server, lambda: False)
