"""The figures: which lines they have, and where their points are."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest

from bench import report
from bench.results import PINNED, UNPINNED, Found, Part, Results
from bench.targets import RATES

SERVERS = ["inprocess", "P1", "P2", "P3", "P4"]


def made_up() -> Results:
    """At each rate a server's place in the list; samples are 1 to 100 times that, in µs."""
    results = Results(1, {})
    for name, servers in ((PINNED, SERVERS), (UNPINNED, ["worker", "P1"])):
        found: dict[str, Found] = {}
        for place, server in enumerate(servers, 1):
            times = [place * n * 1e-6 for n in range(1, 101)]
            found[server] = {"round_trip": times, "event": times}
            for rate in RATES:
                found[server] |= {f"rate_cpu_{rate}": place, f"rate_p50_{rate}": place}
        results.parts[name] = Part(servers, [found], [0.0])
    return results


def texts(svg: str) -> list[str | None]:
    root = ElementTree.fromstring(svg)
    return [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]


def test_distribution() -> None:
    """In microseconds; of few samples no percentile that only one of them is above."""
    points = report.distribution(made_up().parts[PINNED], "round_trip", "P1")

    assert points[0.5] == pytest.approx(101)
    assert points[0.9] == pytest.approx(180.2)
    assert max(points) == 0.98


def test_cost_against_rate() -> None:
    part = made_up().parts[PINNED]

    assert report.against_rate(part, "rate_cpu", "P2") == dict.fromkeys(RATES, 3)


@pytest.mark.parametrize("points", [report.distribution, report.against_rate])
def test_what_was_not_measured_has_no_points(
    points: Callable[[Part, str, str], dict[float, float]],
) -> None:
    assert points(Part(["P1"], [{}], [0.0]), "round_trip", "P1") == {}


@pytest.mark.parametrize("draw", [report.latency_svg, report.cost_svg])
def test_every_server_is_in_the_legend_once(draw: Callable[[Results], str]) -> None:
    """And nothing of the day or the machine is in the figure."""
    svg = draw(made_up())

    for label, _colour, _style in report.STYLES.values():
        assert texts(svg).count(label) == 1
    assert "date" not in svg
    assert svg == draw(made_up())


def test_percentiles_are_spread_by_nines() -> None:
    """Text is text; the ticks are percentiles, of which the last ones have room."""
    svg = report.latency_svg(made_up())

    assert {"10", "50", "90", "99", "99.9", "small request, round trip"} <= set(texts(svg))


def test_what_was_not_measured_is_left_out() -> None:
    results = made_up()
    del results.parts[PINNED].rounds[0]["P3"]

    assert "P3 stdio pipe" not in texts(report.cost_svg(results))
    assert "ours, in-process" in texts(report.cost_svg(results))
