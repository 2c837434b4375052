"""A `tui_gateway.server` that harms a gateway's process as the real one does."""

from __future__ import annotations

import os
import queue
import sys
from collections.abc import Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures.lost_questions import Questions
from hermes_twisted.hermes.cures.stray_frames import Sink
from tests.unit.hermes.cures.functions import make_function


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Hermes' registry of background work."""
    made = SimpleNamespace(completion_queue=queue.Queue())
    module = ModuleType("tools.process_registry")
    module.process_registry = made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tools.process_registry", module)
    return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, registry: SimpleNamespace) -> Iterator[Any]:
    """A `tui_gateway.server` that harms a process as the real one does."""
    for name in ("HERMES_INTERACTIVE", "HERMES_GATEWAY_SESSION", "HERMES_EXEC_ASK"):
        monkeypatch.delenv(name, raising=False)
    module = ModuleType("server")
    module._sessions = {}  # type: ignore[attr-defined]
    module._stdio_transport = Sink(Questions(module).lost)  # type: ignore[attr-defined]
    make_function("def write_json(obj): return _stdio_transport.write(obj)", module)
    make_function(
        "import os\n"
        "def _enable_gateway_prompts():\n"
        "    os.environ['HERMES_GATEWAY_SESSION'] = '1'\n"
        "    os.environ['HERMES_EXEC_ASK'] = '1'\n"
        "    os.environ['HERMES_INTERACTIVE'] = '1'\n",
        module,
    )
    make_function(
        "def _notification_poller_loop(registry):\n"
        "    return registry.completion_queue.get(timeout=0.5)\n",
        module,
    )
    module._notification_event_belongs_elsewhere = lambda session, event: False  # type: ignore[attr-defined]
    module._panic_hook = lambda *_: None  # type: ignore[attr-defined]
    module._thread_panic_hook = lambda *_: None  # type: ignore[attr-defined]
    yield module
    for name in ("HERMES_INTERACTIVE", "HERMES_GATEWAY_SESSION", "HERMES_EXEC_ASK"):
        os.environ.pop(name, None)
