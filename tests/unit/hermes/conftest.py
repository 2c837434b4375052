from __future__ import annotations

import pytest

from hermes_twisted.shared.lanes import LanePool
from tests.unit.hermes.clients import Client


@pytest.fixture
def client(pool: LanePool) -> Client:
    return Client(pool)
