"""Cures for a gateway's process: found, applied, tried, and refused where they are not."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures import gateway
from hermes_twisted.hermes.cures.background_results import SplitResults
from hermes_twisted.shared.problem import Problem


@pytest.fixture
def loading(server: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The same, where the real one would be imported."""
    monkeypatch.setattr(gateway, "check_config", lambda: None)
    monkeypatch.setattr(gateway, "import_server", lambda: server)
    monkeypatch.setattr(gateway, "look", lambda server: None)
    return server


def test_all_of_them(loading: Any, registry: SimpleNamespace) -> None:
    """Applied at once, and again without a change."""
    all_cures = gateway.gateway_cures(threading.get_ident())

    gateway.check_gateway(all_cures)
    enable, results = loading._enable_gateway_prompts, registry.completion_queue
    gateway.check_gateway(all_cures)

    assert loading._enable_gateway_prompts is enable
    assert registry.completion_queue is results
    assert isinstance(results, SplitResults)


def test_the_gateway_is_known_by_its_thread(loading: Any, registry: SimpleNamespace) -> None:
    """Its readers run on its loop, a terminal's never do."""
    gateway.check_gateway(gateway.gateway_cures(threading.get_ident()))
    registry.completion_queue.put({"session_key": "agent:main:x"})
    seen: list[bool] = []

    thread = threading.Thread(target=lambda: seen.append(registry.completion_queue.empty()))
    thread.start()
    thread.join()

    assert seen == [True]
    assert not registry.completion_queue.empty()


@pytest.mark.parametrize(
    "name", ["_notification_event_belongs_elsewhere", "_notification_poller_loop"]
)
def test_a_release_that_is_too_old(loading: Any, name: str) -> None:
    """Refused before anything is changed; the advice names what serves instead."""
    delattr(loading, name)

    with pytest.raises(Problem, match=name) as refused:
        gateway.check_gateway(gateway.gateway_cures(0))

    assert "`twistd hermes-attach`" in refused.value.advice
    loading._enable_gateway_prompts()
    assert os.environ["HERMES_INTERACTIVE"] == "1"


def test_a_stdio_transport_is_replaced(loading: Any) -> None:
    """The check comes before the host, and lets no trial frame out either."""
    printed: list[Any] = []
    loading._stdio_transport = SimpleNamespace(write=printed.append)

    gateway.check_gateway(gateway.gateway_cures(0))

    loading.write_json({"text": "of a conversation"})
    assert printed == []
