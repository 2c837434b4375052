from __future__ import annotations

from hermes_twisted.websocket.round_trips import MAX_OUTSTANDING, RoundTrips


def test_round_trip() -> None:
    """A pong is matched with its ping by the payload."""
    trips = RoundTrips()
    first = trips.ping(10.0)

    assert trips.pong(first, 10.5) == 0.5
    assert trips.pong(first, 11.0) is None


def test_longer_than_the_interval() -> None:
    """A pong that comes after the next ping was sent still counts for its own."""
    trips = RoundTrips()
    first, second = trips.ping(0.0), trips.ping(20.0)

    assert first != second
    assert trips.pong(first, 25.0) == 25.0
    assert trips.pong(second, 26.0) == 6.0


def test_only_the_latest_is_answered() -> None:
    """A client may answer the latest ping alone; the earlier ones are over then."""
    trips = RoundTrips()
    first, second = trips.ping(0.0), trips.ping(20.0)

    assert trips.pong(second, 21.0) == 1.0
    assert trips.pong(first, 22.0) is None


def test_unasked() -> None:
    """A client cannot make round trips up."""
    trips = RoundTrips()
    trips.ping(0.0)

    assert trips.pong(b"", 1.0) is None
    assert trips.pong(b"2", 1.0) is None


def test_bounded() -> None:
    """A client that never answers costs a few numbers."""
    trips = RoundTrips()
    payloads = [trips.ping(float(n)) for n in range(MAX_OUTSTANDING + 10)]

    assert trips.pong(payloads[9], 100.0) is None
    assert trips.pong(payloads[10], 100.0) == 90.0
