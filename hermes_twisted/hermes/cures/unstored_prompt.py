"""The prompt of a running turn, which a client that takes the session over does not see."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from .cure import Cure

CURE: Final = Cure(
    name="unstored_prompt",
    what="A prompt is stored only with its reply: a client that takes over a session with a "
    "running turn would not see what was asked.",
    releases="0.14",
    found="it resumes with a second agent (`second_agent`) and has no `session.activate`, which "
    "would describe the running turn",
    cured="The prompt is sent as `inflight`. Text that was streamed before comes with the whole "
    "reply at its end.",
)


class Prompts:
    """Remembers the last prompt of each live session."""

    def __init__(self, server: ModuleType) -> None:
        self._server = server
        self._prompts: dict[str, str] = {}

    def submitted(self, live_id: str, text: str) -> None:
        """Remember a prompt, and forget those of sessions that have ended."""
        live = self._server._sessions
        self._prompts = {old: said for old, said in self._prompts.items() if old in live}
        self._prompts[live_id] = text

    def inflight(self, live_id: str, messages: list[Any]) -> dict[str, Any] | None:
        """Return `inflight` of a session in a turn; None if the prompt is in *messages*."""
        prompt = self._prompts.get(live_id)
        if prompt is None or messages[-1:] == [{"role": "user", "text": prompt}]:
            return None
        return {"user": prompt, "assistant": "", "streaming": True}
