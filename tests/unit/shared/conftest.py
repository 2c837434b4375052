"""Shared by the tests of the queues."""

from __future__ import annotations

from dataclasses import dataclass

import pytest


@dataclass
class Waker:
    """Counts the wake-ups of a consumer."""

    count: int = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.fixture
def wake() -> Waker:
    return Waker()
