"""The answer to a request while Hermes does not run."""

from __future__ import annotations

from typing import Final

from .. import rpc
from ..shared.outbox import ANSWER, Outbox
from ..shared.problem import Problem

#: How long Hermes may take to finalise its sessions, in seconds.
SHUTDOWN_LIMIT: Final = 5.0


def refuse(outbox: Outbox, frame: rpc.Frame, problem: Problem | None) -> None:
    """Answer a request that nobody will run, because of *problem*."""
    outbox.settle(len(frame.text))
    reason = str(problem) if problem is not None else "Hermes is not running."
    outbox.put(rpc.error(frame.id, rpc.SERVER_ERROR, reason), ANSWER)
