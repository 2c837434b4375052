"""Problems of the cures that a gateway needs: each is tried before clients are admitted."""

from __future__ import annotations

from typing import Final

from ...shared.problem import Problem

ADVICE: Final = (
    "Serve terminals beside this gateway instead, with `hermes-attach serve` or "
    "`twistd hermes-attach`: there Hermes' terminal side runs in a process of its own."
)


def hook_absent(hook: str, harm: str) -> Problem:
    """Return the problem that a cure cannot be applied; *harm* is what chats would suffer."""
    return Problem(
        f"This release of Hermes has no {hook}, or one that works differently. Served in this "
        f"gateway, {harm}.",
        ADVICE,
    )


def trial_failed(harm: str) -> Problem:
    """Return the problem that a cure was applied without effect; *harm* is what remains."""
    return Problem(f"A protection of this gateway's chats did not work: {harm}.", ADVICE)
