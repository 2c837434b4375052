"""Shared by the tests of keys."""

from __future__ import annotations

import pytest


class Now:
    """A wall clock that the test sets."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def now() -> Now:
    return Now()
