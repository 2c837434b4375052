"""Methods of Hermes, and types of its events, that the host treats specially."""

from __future__ import annotations

from typing import Any, Final

CREATE: Final = "session.create"
RESUME: Final = "session.resume"
ACTIVATE: Final = "session.activate"
PROMPT: Final = "prompt.submit"

#: Events that repeat, token by token, what a later event carries whole.
DELTAS: Final = frozenset({"message.delta", "reasoning.delta", "thinking.delta"})
#: The event that begins a turn, and those that end it.
TURN_START: Final = "message.start"
TURN_END: Final = "message.complete"
TURN_ENDS: Final = frozenset({TURN_END, "error"})

#: A JSON-RPC request and an answer, as Hermes takes and gives them.
Request = dict[str, Any]
Response = dict[str, Any]
