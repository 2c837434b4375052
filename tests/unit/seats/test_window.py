from __future__ import annotations

import pytest

from hermes_twisted.limits import Limits
from hermes_twisted.seats.window import RequestWindow


@pytest.fixture
def window() -> RequestWindow:
    return RequestWindow(Limits(max_waiting_requests=4, max_waiting_bytes=100))


def test_both_kinds_count(window: RequestWindow) -> None:
    """Requests that the backend has and deferred ones fill one window."""
    window.submit(1)
    window.defer(1)
    window.submit(1)
    assert not window.is_full

    window.defer(1)

    assert window.count == 4
    assert window.is_full


def test_bytes_count_as_well(window: RequestWindow) -> None:
    """Few large requests fill it, too."""
    window.submit(60)
    window.defer(39)
    assert not window.is_full

    window.submit(1)

    assert window.is_full


@pytest.mark.parametrize("kind", ["submit", "defer"])
def test_half_of_it_has_to_be_free(window: RequestWindow, kind: str) -> None:
    """Reading goes on below half of each limit, not at it."""
    getattr(window, kind)(50)
    assert not window.is_half_free
    window.settle(1, 50) if kind == "submit" else window.release(50)
    assert window.is_half_free

    for _ in range(2):
        getattr(window, kind)(1)
    assert not window.is_half_free


def test_forgotten_messages_do_not_count(window: RequestWindow) -> None:
    """What is void leaves its room; what the backend has keeps it."""
    window.submit(10)
    window.defer(90)

    window.forget_deferred()

    assert window.count == 1
    assert window.is_half_free
