from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.hermes.cures.activation_without_events import Activation
from tests.unit.hermes.cures.sessions import Hermes


@pytest.mark.parametrize("binds", [True, False])
def test_activate_moves_the_stream(binds: bool) -> None:
    """Where the transport says who gets events, whoever activates a session gets them."""
    hermes, seat = Hermes(), object()

    Activation(hermes.server, needed=binds).bind({"result": {"session_id": "live0001"}}, seat)

    assert (hermes.session["transport"] is seat) is binds


@pytest.mark.parametrize("response", [None, {}, {"error": {}}, {"result": []}, {"result": {}}])
def test_failed_activation_moves_nothing(response: Any) -> None:
    hermes = Hermes()

    Activation(hermes.server, needed=True).bind(response, object())

    assert hermes.session["transport"] is None
