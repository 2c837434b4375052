from __future__ import annotations

import os
from typing import Any

import pytest

from hermes_twisted.hermes.cures import interactive_flag
from hermes_twisted.shared.problem import Problem
from tests.unit.hermes.cures.functions import make_function


class TestInteractive:
    """`HERMES_INTERACTIVE` stays as the gateway has it."""

    @pytest.mark.parametrize("before", [None, "0", "1"])
    def test_is_left_alone(
        self, server: Any, before: str | None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if before is not None:
            monkeypatch.setenv("HERMES_INTERACTIVE", before)

        interactive_flag.leave_unset(server)
        server._enable_gateway_prompts()

        assert os.environ.get("HERMES_INTERACTIVE") == before

    def test_the_other_flags_are_set(self, server: Any) -> None:
        """Approvals need them."""
        interactive_flag.leave_unset(server)
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

        interactive_flag.leave_unset(server)

        assert set(seen) == {"HERMES_GATEWAY_SESSION", "HERMES_EXEC_ASK"}

    @pytest.mark.parametrize("hook", [None, "text", dict])
    def test_absent(self, server: Any, hook: object) -> None:
        server._enable_gateway_prompts = hook

        with pytest.raises(Problem, match="_enable_gateway_prompts"):
            interactive_flag.leave_unset(server)

    def test_does_more_than_it_did(self, server: Any) -> None:
        """What is not known is not run twice."""
        make_function("def _enable_gateway_prompts(): os.umask(0)", server)

        with pytest.raises(Problem, match="does more than set flags"):
            interactive_flag.leave_unset(server)
