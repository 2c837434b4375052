from __future__ import annotations

from twisted.internet.task import Clock

from hermes_twisted.operate.looplag import INTERVAL, LoopLag
from hermes_twisted.testing import Tally


def test_lag() -> None:
    """What is measured is how late the timer fires; a long stall is one late call."""
    clock, tally = Clock(), Tally()
    lag = LoopLag(clock, tally)
    lag.start()

    clock.advance(INTERVAL)
    assert lag.last == 0.0
    clock.advance(INTERVAL + 7.5)
    assert lag.last == 7.5
    clock.advance(INTERVAL)

    assert tally.observed == [("loop_lag", 0.0, ()), ("loop_lag", 7.5, ()), ("loop_lag", 0.0, ())]
    lag.stop()
    lag.stop()
    assert clock.getDelayedCalls() == []
