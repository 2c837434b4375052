"""Puts together the parts with which an operator watches and controls the service."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.web.resource import IResource

from ..meter import Meter
from ..operate.control import Control, OperatorCommands
from ..operate.looplag import LoopLag
from ..operate.metrics import Metrics
from ..operate.metrics_page import MayRead, metrics_page
from ..operate.status import Overview
from ..seats.directory import Directory
from ..seats.ports import Backend
from ..seats.roster import RATE_PERIOD, Roster
from .settings import Settings


class Operations:
    """Owns the roster and the overview, the loop's lag, the commands and their socket."""

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        settings: Settings,
        backend: Backend,
        directory: Directory,
        meter: Meter,
    ) -> None:
        roster = Roster(reactor.seconds)
        directory.observe(roster)
        self._samples = LoopingCall(roster.sample)
        self._samples.clock = reactor
        self._lag = LoopLag(reactor, meter)
        self.overview = Overview(backend, roster, kind=settings.backend, lag=lambda: self._lag.last)
        self.commands = OperatorCommands(directory, self.overview, meter)
        self._control = Control(reactor, settings.control, settings.home, self.commands)

    def pages(self, metrics: Metrics | None, may_read: MayRead) -> Mapping[bytes, IResource]:
        """Return the pages for operators by their paths: `/metrics`, if there are *metrics*."""
        if metrics is None:
            return {}
        metrics.watch(self.overview.readings)
        return {b"/metrics": metrics_page(metrics, may_read)}

    def start(self, listening: Sequence[str], **gauges: Callable[[], int]) -> None:
        """Begin to measure and open the control socket; the service listens at *listening*.

        *gauges* are read for the metrics of their names.
        """
        self.overview.started(listening, **gauges)
        self._samples.start(RATE_PERIOD, now=False)
        self._lag.start()
        self._control.start()

    def stopping(self) -> None:
        """Report that the service is being stopped. Until `stop` it can still be watched."""
        self.overview.stopping()

    def stop(self) -> Deferred[None]:
        """Measure no more, and close the control socket: the service has stopped."""
        if self._samples.running:
            self._samples.stop()
        self._lag.stop()
        return self._control.stop()
