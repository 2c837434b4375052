from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hermes_twisted.operate.metrics import CONTENT_TYPE, FAMILIES, MAX_LABELS, PREFIX, Metrics
from hermes_twisted.seats.calls import GROUPS

ROOT = Path(__file__).parents[3]


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Each sample of the page: name and label values, sorted by label."""
    return {
        (sample.name, *(value for _name, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }


def test_counted() -> None:
    """What a meter counts is in its family, under its label."""
    metrics = Metrics()

    metrics.count("admission", "admitted")
    metrics.count("admission", "key-wrong", by=3)
    metrics.count("restart")

    page = values(metrics)
    assert page["hermes_attach_admissions_total", "admitted"] == 1
    assert page["hermes_attach_admissions_total", "key-wrong"] == 3
    assert page["hermes_attach_backend_restarts_total",] == 1
    assert page["hermes_attach_kicks_total",] == 0


def test_nothing_that_is_counted_is_lost() -> None:
    """A count without a family of its own is shown all the same."""
    metrics = Metrics()

    metrics.count("something-new", "case")

    assert values(metrics)["hermes_attach_other_total", "case", "something-new"] == 1


def test_observed() -> None:
    """Durations are in histograms, by group and outcome, without a line for when each began."""
    metrics = Metrics()

    metrics.observe("rpc", 0.2, "prompt", "ok")
    metrics.observe("rpc", 70.0, "prompt", "ok")
    metrics.observe("ping", 0.03)
    metrics.observe("unknown", 1.0)

    page = values(metrics)
    assert page["hermes_attach_rpc_duration_seconds_count", "prompt", "ok"] == 2
    assert page["hermes_attach_rpc_duration_seconds_bucket", "prompt", "0.25", "ok"] == 1
    assert page["hermes_attach_rpc_duration_seconds_bucket", "prompt", "+Inf", "ok"] == 2
    assert page["hermes_attach_ping_round_trip_seconds_sum",] == 0.03
    assert b"_created" not in metrics.render()


def test_labels_are_bounded() -> None:
    """Even a bug that made labels without end would not make the page endless."""
    metrics = Metrics()

    for number in range(MAX_LABELS + 50):
        metrics.count("limit", f"l{number}")

    limits = {key: value for key, value in values(metrics).items() if "limits_total" in key[0]}
    assert len(limits) == MAX_LABELS + 1
    assert limits["hermes_attach_limits_total", "other"] == 50
    assert len(GROUPS) < MAX_LABELS


def test_states_are_asked_for_when_somebody_reads() -> None:
    """And not before: nothing is asked when the metrics are made."""
    asked = []
    metrics = Metrics()

    def read() -> dict[str, float | dict[tuple[str, ...], float]]:
        asked.append(1)
        return {"links": len(asked), "bytes": {("in",): 5, ("out",): 6}}

    metrics.watch(read)
    assert not asked
    assert values(metrics)["hermes_attach_links",] == 1
    page = values(metrics)
    assert page["hermes_attach_links",] == 2
    assert page["hermes_attach_bytes_total", "out"] == 6


def test_several_in_one_process() -> None:
    """Each has a registry of its own, beside the process's."""
    first, second = Metrics(), Metrics()

    first.count("kick")

    assert values(first)["hermes_attach_kicks_total",] == 1
    assert values(second)["hermes_attach_kicks_total",] == 0
    assert CONTENT_TYPE.startswith("text/plain; version=")


def test_documented() -> None:
    """The table in docs/metrics.md is this one, row by row."""
    text = (ROOT / "docs" / "metrics.md").read_text()
    rows = re.findall(r"^\| `hermes_attach_.*$", text, re.M)

    assert rows == [
        f"| `{f.full_name}` | {f.kind} | {', '.join(f'`{n}`' for n in f.labels)} | {f.help} |"
        for f in FAMILIES
    ]


@pytest.mark.parametrize("file", ["examples/grafana-dashboard.json", "docs/metrics.md"])
def test_named_metrics_exist(file: str) -> None:
    """Dashboard, alerts: every metric and label that a query names is there."""
    text = (ROOT / file).read_text()
    by_name = {f.full_name: f for f in FAMILIES}
    named = set(re.findall(rf"{PREFIX}[a-z0-9_]+", text))

    assert len(named) > 10
    for name in named:
        base = re.sub(r"_(bucket|count|sum)$", "", name)
        assert name in by_name or by_name[base].kind == "histogram", name


def test_dashboard() -> None:
    """It can be read, shows every family but the odd ones, and groups by labels that there are."""
    dashboard = json.loads((ROOT / "examples" / "grafana-dashboard.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    by_name = {f.full_name: f for f in FAMILIES}

    for query in queries:
        (name,) = set(re.findall(rf"{PREFIX}[a-z0-9_]+", query))
        family = by_name.get(name) or by_name[re.sub(r"_(bucket|count|sum)$", "", name)]
        grouped = re.findall(r"by \(([^)]*)\)", query)
        labels = {label.strip() for group in grouped for label in group.split(",")}
        assert labels <= {*family.labels, "le"}, query
    shown = {f for f in by_name if any(f in query for query in queries)}
    assert set(by_name) - shown == {
        "hermes_attach_backend_changes_total",
        "hermes_attach_other_total",
        "hermes_attach_scrapes_total",
    }
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
