from __future__ import annotations

import sys
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from hermes_twisted.hermes.cures import process_state


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

        process_state.restore(server)

        assert sys.stdout is stdout
        assert sys.excepthook is sys.__excepthook__
        assert threading.excepthook is threading.__excepthook__

    def test_what_others_have_set_stays(self, server: Any) -> None:
        hooks = [lambda *_: None, lambda *_: None]
        server._real_stdout = SimpleNamespace()
        sys.excepthook, threading.excepthook = hooks
        stdout = sys.stdout

        process_state.restore(server)

        assert [sys.excepthook, threading.excepthook] == hooks
        assert sys.stdout is stdout
