"""What an operator sees of the service and can do to it: the parts for that, put together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.defer import Deferred
from twisted.web.resource import IResource

from ..meter import Meter
from ..operate.control import Commands, Control
from ..operate.looplag import LoopLag
from ..operate.metrics import Metrics
from ..operate.metrics_page import MayRead, metrics_page
from ..operate.status import Overview
from ..seats.ports import Backend
from ..seats.roster import Roster
from .settings import Settings


class Operations:
    """Owns the roster and the overview, the loop's lag, the commands and their socket."""

    def __init__(
        self,
        reactor: AsyncioSelectorReactor,
        settings: Settings,
        backend: Backend,
        meter: Meter,
    ) -> None:
        self.roster = Roster(reactor.seconds)
        self._lag = LoopLag(reactor, meter, self.roster.sample)
        self.overview = Overview(
            backend, self.roster, kind=settings.backend, lag=lambda: self._lag.last
        )
        self.commands = Commands(self.roster, self.overview, meter)
        self._control = Control(reactor, settings.control, settings.home, self.commands)
        backend.meter = meter

    def pages(self, metrics: Metrics | None, may_read: MayRead) -> Mapping[bytes, IResource]:
        """The pages for it, by their paths."""
        if metrics is None:
            return {}
        metrics.watch(self.overview.readings)
        return {b"/metrics": metrics_page(metrics, may_read)}

    def start(self, listening: Sequence[str], **gauges: Callable[[], int]) -> None:
        """The service listens there; *gauges*: see `Overview`."""
        self.overview.started(listening, **gauges)
        self._lag.start()
        self._control.start()

    def stopping(self) -> None:
        """It is being stopped; until `stop` it can be watched."""
        self.overview.stopping()

    def stop(self) -> Deferred[None]:
        """It has stopped."""
        self._lag.stop()
        return self._control.stop()
