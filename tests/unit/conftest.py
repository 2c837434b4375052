from __future__ import annotations

import atexit
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from hermes_twisted.shared.lanes import LanePool

# The same examples in every run: a failure is the change's, not the dice's.
hypothesis.settings.register_profile("unit", derandomize=True, deadline=None)
hypothesis.settings.load_profile("unit")

STUB = Path(__file__).parents[1] / "stub"


def _is_hermes(name: str) -> bool:
    return name.partition(".")[0] in ("tui_gateway", "hermes_cli")


@pytest.fixture
def no_hermes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No module of Hermes is loaded, before and after, and its home is an empty directory."""
    monkeypatch.setenv("HERMES_HOME", str(tmp_path))
    for name in filter(_is_hermes, list(sys.modules)):
        monkeypatch.delitem(sys.modules, name)
    yield
    for name in filter(_is_hermes, list(sys.modules)):
        server = sys.modules.pop(name)
        if hasattr(server, "_pool"):
            server._pool.shutdown(cancel_futures=True)
            atexit.unregister(server._shutdown_sessions)


@pytest.fixture
def stub(no_hermes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """`tui_gateway` can be imported, and is the stub."""
    monkeypatch.syspath_prepend(str(STUB))


class Hooks:
    """What Hermes was asked to do, and by whom."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    @property
    def names(self) -> list[str]:
        return [call[0] for call in self.calls]


#: Makes a `tui_gateway.server` that has, besides what all have, these hooks only.
MakeServer = Callable[..., ModuleType]


@pytest.fixture
def hooks() -> Hooks:
    return Hooks()


@pytest.fixture
def make_server(hooks: Hooks) -> MakeServer:
    def make(*names: str) -> ModuleType:
        def hook(name: str) -> Callable[..., None]:
            def call(*args: Any, **kwargs: Any) -> None:
                hooks.calls.append((name, *args, *kwargs.items()))

            return call

        def dispatch(req: Any, transport: Any = None) -> dict[str, Any]:
            return {"jsonrpc": "2.0", "id": req["id"], "result": req.get("params")}

        server = ModuleType("tui_gateway.server")
        parts = {
            "dispatch": dispatch,
            "resolve_skin": lambda: {"name": "fake"},
            "_sessions": {},
            "_methods": {"a": None, "b": None},
            "_stdio_transport": object(),
            **{name: hook(name) for name in names},
        }
        for name, part in parts.items():
            setattr(server, name, part)
        return server

    return make


@pytest.fixture
def pool() -> LanePool:
    """Threads for requests, which end with their work."""
    return LanePool(limit=8, reserve=2, idle=0.0)
