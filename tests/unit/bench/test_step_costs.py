"""The steps of the front are those of the front as it is."""

from __future__ import annotations

import pytest

from bench import step_costs


def test_front_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each can be run, and costs something."""
    monkeypatch.setattr(step_costs, "RUNS", step_costs.BATCH)
    monkeypatch.setattr(step_costs, "ROUNDS", 1)

    steps = step_costs.front_steps()

    assert len(steps) == 6
    assert all(microseconds > 0 for microseconds in steps.values())
