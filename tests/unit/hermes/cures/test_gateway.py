"""Cures for a gateway's process: found, applied, tried, and refused where they are not."""

from __future__ import annotations

import os
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures import gateway
from hermes_twisted.hermes.cures.background_results import SplitResults
from hermes_twisted.hermes.cures.lost_questions import Questions
from hermes_twisted.hermes.host import Sink
from hermes_twisted.shared.problem import Problem


def make_function(source: str, server: ModuleType) -> Any:
    """A function of the module *server*."""
    exec(source, vars(server))
    name = source.partition("def ")[2].partition("(")[0]
    return getattr(server, name)


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
    module._stdio_transport = Sink(Questions(module))  # type: ignore[attr-defined]
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


class TestInteractive:
    """`HERMES_INTERACTIVE` stays as the gateway has it."""

    @pytest.mark.parametrize("before", [None, "0", "1"])
    def test_is_left_alone(
        self, server: Any, before: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if before is not None:
            monkeypatch.setenv("HERMES_INTERACTIVE", before)

        gateway.leave_chats_uninteractive(server)
        server._enable_gateway_prompts()

        assert os.environ.get("HERMES_INTERACTIVE") == before

    def test_the_other_flags_are_set(self, server: Any) -> None:
        """Approvals need them."""
        gateway.leave_chats_uninteractive(server)
        del os.environ["HERMES_EXEC_ASK"]

        server._enable_gateway_prompts()

        assert os.environ["HERMES_EXEC_ASK"] == "1"
        assert os.environ["HERMES_GATEWAY_SESSION"] == "1"

    def test_is_never_set_meanwhile(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not for a moment: chats run in other threads."""
        seen = []
        real = os.environ

        class Watched(dict[str, str]):
            def __setitem__(self, name: str, value: str) -> None:
                seen.append(name)
                super().__setitem__(name, value)

            def update(self, *given: Any, **more: str) -> None:
                for name, value in dict(*given, **more).items():
                    self[name] = value

        watched = Watched(real)
        monkeypatch.setattr(os, "environ", watched)

        gateway.leave_chats_uninteractive(server)

        assert set(seen) == {"HERMES_GATEWAY_SESSION", "HERMES_EXEC_ASK"}

    @pytest.mark.parametrize("hook", [None, "text", dict])
    def test_absent(self, server: Any, hook: object) -> None:
        server._enable_gateway_prompts = hook

        with pytest.raises(Problem, match="_enable_gateway_prompts"):
            gateway.leave_chats_uninteractive(server)

    def test_does_more_than_it_did(self, server: Any) -> None:
        """What is not known is not run twice."""
        make_function("def _enable_gateway_prompts(): os.umask(0)", server)

        with pytest.raises(Problem, match="does more than to set flags"):
            gateway.leave_chats_uninteractive(server)


class TestStrays:
    """Frames that belong to nobody."""

    @pytest.mark.parametrize("spoil", ["no function", "no sink"])
    def test_absent(self, server: Any, spoil: str) -> None:
        if spoil == "no function":
            del server.write_json
        else:
            server._stdio_transport = SimpleNamespace(write=lambda obj: True)

        with pytest.raises(Problem, match="write_json"):
            gateway.drop_strays(server)

    def test_go_elsewhere(self, server: Any) -> None:
        """The sink is there, but is not asked."""
        server.write_json = lambda obj: True

        with pytest.raises(Problem, match="would be written to stdout"):
            gateway.drop_strays(server)


class TestResults:
    """The queue of background results."""

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
            gateway.keep_results_apart(server, lambda: False)

    def test_do_not_stay_apart(self, server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Tried before anybody is served."""
        monkeypatch.setattr(SplitResults, "_is_a_terminals", lambda self, event: True)

        with pytest.raises(Problem, match="would take the background results of chats"):
            gateway.keep_results_apart(server, lambda: False)


class TestProcess:
    """Somebody else has imported Hermes' terminal side before."""

    @pytest.fixture(autouse=True)
    def _kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for owner, name in ((sys, "stdout"), (sys, "excepthook"), (threading, "excepthook")):
            monkeypatch.setattr(owner, name, getattr(owner, name))

    def test_is_given_back(self, server: Any) -> None:
        server._real_stdout = stdout = SimpleNamespace()
        sys.stdout = sys.stderr
        sys.excepthook = server._panic_hook
        threading.excepthook = server._thread_panic_hook

        gateway.restore_process(server)

        assert sys.stdout is stdout
        assert sys.excepthook is sys.__excepthook__
        assert threading.excepthook is threading.__excepthook__

    def test_what_others_have_set_stays(self, server: Any) -> None:
        hooks = [lambda *_: None, lambda *_: None]
        server._real_stdout = SimpleNamespace()
        sys.excepthook, threading.excepthook = hooks
        stdout = sys.stdout

        gateway.restore_process(server)

        assert [sys.excepthook, threading.excepthook] == hooks
        assert sys.stdout is stdout
