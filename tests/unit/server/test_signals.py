"""SIGHUP reloads while the service runs, in the reactor's turn."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hermes_twisted.server.signals import EndAtOnce, ReloadOnHangup


class Turns:
    """A reactor that is told what to do later."""

    def __init__(self) -> None:
        self.later: list[Callable[[], Any]] = []

    def callFromThread(self, call: Callable[[], Any]) -> None:  # noqa: N802
        self.later.append(call)


@pytest.fixture(autouse=True)
def before() -> Iterator[Any]:
    """A handler of somebody else's."""
    found = signal.getsignal(signal.SIGHUP)

    def theirs(number: int, frame: object) -> None:
        raise AssertionError("not ours")

    signal.signal(signal.SIGHUP, theirs)
    yield theirs
    signal.signal(signal.SIGHUP, found)


def hang_up() -> None:
    os.kill(os.getpid(), signal.SIGHUP)


def test_reloads(before: Any) -> None:
    """Not at once: a signal comes between any two steps of anything."""
    turns, reloads = Turns(), []
    service = ReloadOnHangup(turns, lambda: reloads.append(1))  # type: ignore[arg-type]
    service.startService()

    hang_up()
    hang_up()

    assert not reloads
    for turn in turns.later:
        turn()
    assert len(reloads) == 2
    service.stopService()


def test_gives_the_signal_back(before: Any) -> None:
    service = ReloadOnHangup(Turns(), lambda: None)  # type: ignore[arg-type]
    service.startService()
    assert signal.getsignal(signal.SIGHUP) is not before

    service.stopService()
    assert signal.getsignal(signal.SIGHUP) is before

    service.stopService()
    assert signal.getsignal(signal.SIGHUP) is before


def test_leaves_signals_alone_in_other_threads(before: Any) -> None:
    """There Python refuses, and a host would not expect it."""
    service = ReloadOnHangup(Turns(), lambda: None)  # type: ignore[arg-type]
    failures: list[BaseException] = []

    def start_and_stop() -> None:
        try:
            service.startService()
            service.stopService()
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=start_and_stop)
    thread.start()
    thread.join()

    assert not failures
    assert signal.getsignal(signal.SIGHUP) is before


def test_a_second_signal_ends_at_once() -> None:
    """While it runs the signals are the reactor's; once it stops, they are the system's."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    found = {number: signal.getsignal(number) for number in numbers}
    service = EndAtOnce()
    try:
        service.startService()
        assert {number: signal.getsignal(number) for number in numbers} == found

        service.stopService()

        assert {signal.getsignal(number) for number in numbers} == {signal.SIG_DFL}
    finally:
        for number, handler in found.items():
            signal.signal(number, handler)
