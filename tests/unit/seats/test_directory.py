from __future__ import annotations

from collections.abc import Callable

import pytest
from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher

from hermes_twisted.access.keys import Key
from hermes_twisted.limits import Limits
from hermes_twisted.meter import NullMeter
from hermes_twisted.seats.attachment import Attachment
from hermes_twisted.seats.directory import Directory, SeatObserver
from hermes_twisted.seats.seat import Seat
from tests.unit.seats.test_seat import FakeChannel, FakeLink, attachment

LAPTOP = Key.of("laptop", "hat_0123456789abcdef")


class Diary(SeatObserver):
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []

    def seat_opened(self, seat: Seat) -> None:
        self.told.append(("opened", seat.number))

    def link_attached(self, seat: Seat, attachment: Attachment) -> None:
        assert seat.attachment is attachment
        self.told.append(("attached", seat.number))

    def link_detached(self, seat: Seat, attachment: Attachment) -> None:
        assert seat.attachment is None
        self.told.append(("detached", seat.number))

    def seat_closed(self, seat: Seat) -> None:
        self.told.append(("closed", seat.number))


class Broken(SeatObserver):
    """Has a bug."""

    def seat_opened(self, seat: Seat) -> None:
        raise RuntimeError("a bug")


@pytest.fixture
def channels() -> list[FakeChannel]:
    return []


@pytest.fixture
def directory(channels: list[FakeChannel]) -> Directory:
    def open_channel(number: int, wake: Callable[[], None]) -> FakeChannel:
        channels.append(FakeChannel(wake))
        return channels[-1]

    return Directory(Limits(), open_channel, NullMeter())


def test_observers_are_told_in_order(directory: Directory) -> None:
    """A seat opens, takes its link, loses it and is closed: every observer hears of each."""
    diary, other = Diary(), Diary()
    directory.observe(diary, other)
    link = attachment(FakeLink())

    seat = directory.open(LAPTOP, link)
    directory.detach(seat, link)

    steps = ["opened", "attached", "detached", "closed"]
    assert diary.told == other.told == [(step, 1) for step in steps]


def test_seats_are_numbered(directory: Directory) -> None:
    """No two seats of a process have the same number, also after some have gone."""
    link = attachment(FakeLink())
    first = directory.open(LAPTOP, link)
    directory.detach(first, link)

    second = directory.open(LAPTOP, attachment(FakeLink()))

    assert (first.number, second.number) == (1, 2)
    assert list(directory) == [second]
    assert directory.find(1) is None
    assert directory.find(2) is second


def test_the_backend_is_told_of_the_end(directory: Directory, channels: list[FakeChannel]) -> None:
    """A seat ends with its link, once."""
    link = attachment(FakeLink())
    seat = directory.open(LAPTOP, link)

    directory.detach(seat, link)
    directory.close(seat)

    assert channels[0].closed == 1
    assert len(directory) == 0


def test_seats_may_go_while_they_are_counted(directory: Directory) -> None:
    """Ending every seat in turn is safe, though each removes itself."""
    for _ in range(3):
        directory.open(LAPTOP, attachment(FakeLink()))

    for seat in directory:
        directory.close(seat)

    assert len(directory) == 0


def test_when_empty(directory: Directory) -> None:
    """Fires at once where nobody is, else when the last one has gone."""
    assert directory.when_empty().called
    first, second = (directory.open(LAPTOP, attachment(FakeLink())) for _ in range(2))

    empty = directory.when_empty()
    directory.close(first)
    assert not empty.called
    directory.close(second)

    assert empty.called


def test_a_bug_of_one_observer_is_its_own(directory: Directory) -> None:
    """It is logged, and the others are told all the same."""
    logged = EventLoggingObserver()
    globalLogPublisher.addObserver(logged)
    diary = Diary()
    directory.observe(Broken(), diary)
    try:
        directory.open(LAPTOP, attachment(FakeLink()))
    finally:
        globalLogPublisher.removeObserver(logged)

    assert diary.told == [("opened", 1), ("attached", 1)]
    assert [event["log_failure"].type for event in logged if "log_failure" in event] == [
        RuntimeError
    ]
