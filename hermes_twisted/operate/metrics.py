"""The service's metrics for Prometheus.

`FAMILIES` names all of them, with their labels; `docs/metrics.md` has the same table. To
add one, add a line there, and count it through `Meter` or read it in `status.Overview`.
Gauges are read at scrape time; counters are incremented as events occur.
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
#: Distinct label values of one metric; further ones are counted as `OTHER`. A safeguard only: all
#: labels are names of ours.
MAX_LABELS: Final = 256
OTHER: Final = "other"

#: What is read at scrape time: a value for each metric, or for each tuple of its label values.
Readings = Mapping[str, float | Mapping[tuple[str, ...], float]]


@dataclass(frozen=True)
class Family:
    """The description of one metric."""

    name: str
    """Its name without the prefix, and for a counter without `_total`."""
    kind: Literal["counter", "gauge", "histogram"]
    help: str
    labels: tuple[str, ...] = ()
    counted: str = ""
    """The name under which a `Meter` counts or observes it; empty for what is read."""
    buckets: tuple[float, ...] = ()

    @property
    def full_name(self) -> str:
        """The name that Prometheus shows."""
        return PREFIX + self.name + ("_total" if self.kind == "counter" else "")


FAMILIES: Final = (
    Family("info", "gauge", "Versions and kind of backend; the value is always 1",
           ("version", "backend", "hermes")),
    Family("start_time_seconds", "gauge", "Start of the service, in seconds since 1970"),
    Family("ready", "gauge", "1 while requests are answered, as at /ready"),
    Family("backend_state", "gauge", "1 for the backend's current state, 0 for the others",
           ("state",)),
    Family("backend_changes", "counter", "Entries of the backend into a state", ("state",),
           "backend"),
    Family("backend_restarts", "counter", "Unexpected Hermes exits that led to a restart",
           counted="restart"),
    Family("links", "gauge", "Open WebSockets of admitted clients"),
    Family("seats", "gauge", "Seats by the scope of their keys", ("scope",)),
    Family("pending_connections", "gauge", "Connections that have not shown a key yet"),
    Family("waiting_room", "gauge", "Refused clients in the waiting room"),
    Family("admissions", "counter",
           "Handshakes by outcome: admitted, or the reason of the refusal", ("outcome",),
           "admission"),
    Family("held", "counter",
           "Refused clients let into the waiting room, by the reason of the refusal",
           ("reason",), "held"),
    Family("scrapes", "counter",
           "Requests for this page by outcome: served, or the reason of the refusal",
           ("outcome",), "scrape"),
    Family("rpc_duration_seconds", "histogram",
           "Time from passing a request to Hermes to its answer, by method group and outcome",
           ("group", "outcome"), "rpc", (0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60)),
    Family("events", "counter", "Frames queued for clients that answer no request"),
    Family("messages", "counter", "WebSocket messages from clients (in) and to clients (out)",
           ("direction",)),
    Family("bytes", "counter", "Bytes from clients (in) and to clients (out), before TLS",
           ("direction",)),
    Family("queued_bytes", "gauge", "Bytes queued for all clients together"),
    Family("queued_bytes_largest", "gauge", "Bytes queued for the client with the most"),
    Family("waiting_requests", "gauge",
           "Requests that Hermes has not reported as begun; reports come in batches of up to 32"),
    Family("slow_links", "gauge", "Links whose socket buffer is full"),
    Family("paused_links", "gauge",
           "Links whose socket is not read because too many requests wait"),
    Family("shed", "counter", "Deltas shed for slow clients"),
    Family("ping_round_trip_seconds", "histogram", "Round trips of pings to clients",
           (), "ping", (0.001, 0.005, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)),
    Family("loop_lag_seconds", "histogram", "Delay of the event loop, measured once a second",
           (), "loop_lag", (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)),
    Family("limits", "counter", "Times that a limit was applied, by limit", ("limit",), "limit"),
    Family("denied", "counter", "Requests denied by the scope of the key", ("scope",), "denied"),
    Family("bad_frames", "counter", "Messages that are not valid requests, by fault", ("why",),
           "bad_frame"),
    Family("violations", "counter", "Links closed for protocol violations, by close code",
           ("code",), "violation"),
    Family("kicks", "counter", "Links closed by the operator with kick", counted="kick"),
    Family("other", "counter", "Counts without a metric of their own",
           ("what", "case")),
)  # fmt: skip

_BY_COUNT: Final = {family.counted: family for family in FAMILIES if family.counted}


class _Series:
    """One histogram with one set of label values.

    There is an observation for each request, and the library's own costs a microsecond more.
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def buckets(self) -> list[tuple[str, float]]:
        """Return each upper bound, with the number of values up to it."""
        bounds = map(floatToGoString, (*self.bounds, math.inf))
        return list(zip(bounds, itertools.accumulate(map(float, self.counts)), strict=True))


class Metrics(Collector):
    """A `Meter` that keeps what it counts for Prometheus, in a registry of its own."""

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
        """Add *by* to a counter. On the loop."""
        if (name, label) not in self._counts:
            self._labels[name] += 1
            if self._labels[name] > MAX_LABELS:
                label = OTHER
        self._counts[name, label] += by

    def observe(self, name: str, seconds: float, *labels: str) -> None:
        """Add one duration to a histogram. Any thread may call it; never raises."""
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
        """Read gauges with *read* from now on, at each scrape."""
        self._read = read

    def render(self) -> bytes:
        """Return the page in Prometheus' text format."""
        return generate_latest(self._registry)

    def describe(self) -> Iterator[Metric]:
        """Describe nothing, so that registering reads no values."""
        return iter(())

    def collect(self) -> Iterator[Metric]:
        """Yield every metric, for the registry."""
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
