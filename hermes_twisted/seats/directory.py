"""The seats that are taken."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from .seat import Seat


class Seats:
    """The seats that are taken."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._seats: dict[int, Seat] = {}

    def __len__(self) -> int:
        return len(self._seats)

    def __iter__(self) -> Iterator[Seat]:
        return iter(list(self._seats.values()))

    def next_number(self) -> int:
        """A number that no seat of this process has had."""
        return next(self._numbers)

    def add(self, seat: Seat) -> None:
        """Remember *seat*."""
        self._seats[seat.number] = seat

    def remove(self, seat: Seat) -> None:
        """Forget *seat*."""
        self._seats.pop(seat.number, None)
