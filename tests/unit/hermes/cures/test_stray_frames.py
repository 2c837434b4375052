from __future__ import annotations

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures import stray_frames
from hermes_twisted.hermes.cures.stray_frames import Sink, drop_strays
from hermes_twisted.shared.problem import Problem


def test_sink() -> None:
    """Frames that belong to nobody are dropped and counted, and nobody is told they arrived."""
    lost: list[Any] = []
    sink = Sink(lost.append)

    assert sink.write({"method": "event"}) is False
    assert sink.write({}) is False
    sink.close()

    assert sink.dropped == 2
    assert lost == [{"method": "event"}, {}]
    assert sink._closed is True


@pytest.mark.parametrize("keeps_questions", [True, False])
def test_places(keeps_questions: bool) -> None:
    """Both transports that lead nowhere are replaced, but for one that keeps its questions."""
    server: Any = ModuleType("server")
    server._detached_ws_transport = upstream = object()

    sink = drop_strays(server, lambda frame: None, keeps_questions=keeps_questions)

    assert server._stdio_transport is sink
    assert (server._detached_ws_transport is upstream) is keeps_questions


def test_a_release_without_detached_sessions() -> None:
    """Before 0.17 there is one such transport."""
    server: Any = ModuleType("server")

    drop_strays(server, lambda frame: None, keeps_questions=False)

    assert not hasattr(server, "_detached_ws_transport")


class TestInGateway:
    """Tried in a gateway, before anybody is served."""

    @pytest.mark.parametrize("spoil", ["no function", "no sink"])
    def test_absent(self, server: Any, spoil: str) -> None:
        if spoil == "no function":
            del server.write_json
        else:
            server._stdio_transport = SimpleNamespace(write=lambda obj: True)

        with pytest.raises(Problem, match="write_json"):
            stray_frames.try_in_gateway(server)

    def test_go_elsewhere(self, server: Any) -> None:
        """The sink is there, but is not asked."""
        server.write_json = lambda obj: True

        with pytest.raises(Problem, match="would be written to stdout"):
            stray_frames.try_in_gateway(server)
