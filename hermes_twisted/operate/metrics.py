"""The service's metrics, in Prometheus' terms.

`FAMILIES` names all of them, with their labels; `docs/metrics.md` has the same table.
What is a state is asked for when somebody reads, what happens is counted as it happens.
"""

from __future__ import annotations

import itertools
import math
import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

PREFIX: Final = "hermes_attach_"
CONTENT_TYPE: Final[str] = CONTENT_TYPE_LATEST
#: Values of one family's label; what comes after these is counted as `OTHER`. A safeguard: all
#: labels are names of ours.
MAX_LABELS: Final = 256
OTHER: Final = "other"

#: What is read when somebody asks: values by family, or by label values of a family.
Readings = Mapping[str, float | Mapping[tuple[str, ...], float]]


@dataclass(frozen=True)
class Family:
    """One metric."""

    name: str
    """Without the prefix; a counter's without `_total`, too."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    counted: str = ""
    """The name that a `Meter` counts or observes it under; empty for what is read."""
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """As Prometheus shows it."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


FAMILIES: Final = (
    Family("info", "gauge", "Always 1; what is running", ("version", "backend", "hermes")),
    Family("start_time_seconds", "gauge", "When the service was started, in Unix time"),
    Family("ready", "gauge", "1 while requests are answered, as /ready says"),
    Family("backend_state", "gauge", "1 for the state that the backend is in", ("state",)),
    Family("backend_changes", "counter", "How often the backend entered a state", ("state",),
           "backend"),
    Family("backend_restarts", "counter", "How often Hermes ended unasked and was started again",
           counted="restart"),
    Family("links", "gauge", "Open WebSockets with a key"),
    Family("seats", "gauge", "Attached terminals by the scope of their keys", ("scope",)),
    Family("pending_connections", "gauge", "Sockets that have shown no key yet"),
    Family("waiting_room", "gauge", "Refused terminals that are being told why"),
    Family("admissions", "counter", "Handshakes by outcome: admitted, or why not", ("outcome",),
           "admission"),
    Family("held", "counter", "Refused terminals let into the waiting room, by reason",
           ("reason",), "held"),
    Family("scrapes", "counter", "Requests for this page by outcome: served, or why not",
           ("outcome",), "scrape"),
    Family("rpc_duration_seconds", "histogram",
           "Time from handing a request to Hermes to its answer, by method group and outcome",
           ("group", "outcome"), "rpc", (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)),
    Family("events", "counter", "Frames for terminals that answer no request"),
    Family("messages", "counter", "WebSocket messages, in from and out to terminals",
           ("direction",)),
    Family("bytes", "counter", "Bytes on the wire, in from and out to terminals, before TLS",
           ("direction",)),
    Family("queued_bytes", "gauge", "Bytes that wait for all terminals together"),
    Family("queued_bytes_largest", "gauge", "Bytes that wait for the terminal with the most"),
    Family("waiting_requests", "gauge",
           "Requests that Hermes has not said to have begun; it does so in lots of up to 32"),
    Family("slow_links", "gauge", "Links whose socket takes no more at the moment"),
    Family("paused_links", "gauge", "Links that are not read, as too many requests wait"),
    Family("shed", "counter", "Pieces of live text left out for slow terminals"),
    Family("ping_round_trip_seconds", "histogram", "Round trips of pings to terminals",
           (), "ping", (0.001, 0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)),
    Family("loop_lag_seconds", "histogram", "How late the event loop is, once a second",
           (), "loop_lag", (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)),
    Family("limits", "counter", "How often a limit struck", ("limit",), "limit"),
    Family("denied", "counter", "Requests beyond their key's scope", ("scope",), "denied"),
    Family("bad_frames", "counter", "Messages that are no request, by fault", ("why",),
           "bad_frame"),
    Family("violations", "counter", "Links ended for breaking the protocol, by close code",
           ("code",), "violation"),
    Family("kicks", "counter", "Links ended by the operator", counted="kick"),
    Family("other", "counter", "What else is counted, without a family of its own",
           ("what", "case")),
)  # fmt: skip

_BY_COUNT: Final = {family.counted: family for family in FAMILIES if family.counted}


class _Series:
    """One histogram with one set of label values: an observation costs a microsecond less
    than the library's own takes, and there is one for each request."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Upper bounds, and how many values there were up to each."""
        bounds = map(floatToGoString, (*self.bounds, math.inf))
        return list(zip(bounds, itertools.accumulate(map(float, self.counts)), strict=True))


class Metrics(Collector):
    """A `Meter` with a registry of its own, so that a process may have several, or others."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()
        self._labels: Counter[str] = Counter()
        self._series: dict[tuple[str, ...], _Series] = {
            (family.counted,): _Series(family.buckets)
            for family in FAMILIES
            if family.kind == "histogram" and not family.labels
        }
        self._lock = threading.Lock()
        self._read: Callable[[], Readings] = dict
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def count(self, name: str, label: str = "", by: int = 1) -> None:
        """See `Meter`."""
        if (name, label) not in self._counts:
            self._labels[name] += 1
            if self._labels[name] > MAX_LABELS:
                label = OTHER
        self._counts[name, label] += by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """See `Meter`."""
        with self._lock:
            series = self._series.get((name, *labels)) or self._new_series(name, labels)
            if series is not None:
                series.observe(seconds)

    def _new_series(self, name: str, labels: tuple[str, ...]) -> _Series | None:
        family = _BY_COUNT.get(name)
        if family is None or family.kind != "histogram" or len(labels) != len(family.labels):
            return None  # A meter does not raise.
        return self._series.setdefault((name, *labels), _Series(family.buckets))

    def watch(self, read: Callable[[], Readings]) -> None:
        """From now on *read* is asked, each time, for what is a state."""
        self._read = read

    def render(self) -> bytes:
        """The page, in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """So that registering asks nobody for values."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """See `Collector`."""
        readings = self._read()
        for family in FAMILIES:
            if family.kind == "histogram":
                yield self._histogram(family)
            elif family.name in readings:
                value = readings[family.name]
                yield _metric(family, value if isinstance(value, Mapping) else {(): value})
            elif family.kind == "counter":
                yield _metric(family, self._sums(family))

    def _histogram(self, family: Family) -> Metric:
        metric = HistogramMetricFamily(PREFIX + family.name, family.help, labels=family.labels)
        with self._lock:
            for (name, *labels), series in self._series.items():
                if name == family.counted:
                    metric.add_metric(labels, series.buckets(), series.sum)
        return metric

    def _sums(self, family: Family) -> Mapping[tuple[str, ...], float]:
        if family.name == OTHER:
            unknown = {key: n for key, n in self._counts.items() if key[0] not in _BY_COUNT}
            return {key: float(n) for key, n in unknown.items()}
        sums = {label: n for (name, label), n in self._counts.items() if name == family.counted}
        if family.labels:
            return {(label or "none",): float(n) for label, n in sums.items()}
        return {(): float(sum(sums.values()))}


def _metric(family: Family, values: Mapping[tuple[str, ...], float]) -> Metric:
    kind = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = kind(PREFIX + family.name, family.help, labels=family.labels)
    for labels, value in values.items():
        metric.add_metric(labels, value)
    return metric
