"""All cures, in the order of the documentation: for every Hermes, then those of a gateway."""

from __future__ import annotations

from typing import Final

from . import (
    activation_without_events,
    background_results,
    interactive_flag,
    late_turn_end,
    lost_questions,
    process_state,
    resume_by_live_id,
    second_agent,
    stray_frames,
    unknown_methods,
    unstored_prompt,
)
from .cure import Cure

CURES: Final[tuple[Cure, ...]] = (
    resume_by_live_id.CURE,
    second_agent.CURE,
    unstored_prompt.CURE,
    activation_without_events.CURE,
    late_turn_end.CURE,
    lost_questions.CURE,
    unknown_methods.CURE,
    stray_frames.CURE,
    process_state.CURE,
    interactive_flag.CURE,
    background_results.CURE,
)
