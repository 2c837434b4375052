"""The figures: which lines they have, and where their points are."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from bench import figures
from bench.results import PINNED, UNPINNED, Part, Results
from bench.targets import RATES

SERVERS = ["inprocess", "P1", "P2", "P3", "P4"]


def made_up() -> Results:
    """At each rate a server's place in the list; samples are 1 to 100 times that, in µs."""
    results = Results(1, {})
    for name, servers in ((PINNED, SERVERS), (UNPINNED, ["worker", "P1"])):
        part = results.parts[name] = Part(servers)
        for place, server in enumerate(servers, 1):
            times = [place * n * 1e-6 for n in range(1, 101)]
            values = {f"{key}_{rate}": place for key in ("rate_cpu", "rate_p50") for rate in RATES}
            part.add(server, {"round_trip": times, "event": times, **values})
    return results


def lines(figure: Figure) -> list[dict[str, list[tuple[float, float]]]]:
    """The points of each panel's lines, by label."""
    return [
        {str(line.get_label()): [(x, y) for x, y in line.get_xydata()] for line in axes.lines}
        for axes in figure.axes
    ]


@pytest.mark.parametrize("draw", [figures.latency, figures.cost])
def test_every_server_has_a_line_in_each_panel(draw: Callable[[Results], Figure]) -> None:
    labels = {label for label, _colour, _style in figures.STYLES.values()}

    figure = draw(made_up())

    assert [set(panel) for panel in lines(figure)] == [labels, labels]
    assert {text.get_text() for text in figure.legends[0].texts} == labels


def test_what_was_not_measured_is_left_out() -> None:
    results = made_up()
    del results.parts[UNPINNED]

    panel, _other = lines(figures.latency(results))

    assert "ours, worker (not pinned)" not in panel
    assert "ours, in-process" in panel


def test_distribution() -> None:
    """In microseconds; of few samples no percentile that only one of them is above."""
    panel, _other = lines(figures.latency(made_up()))
    points = dict(panel["P1 FastAPI, uvicorn"])

    assert points[0] == pytest.approx(2)
    assert points[50] == pytest.approx(101)
    assert max(points) == 98


def test_percentiles_are_spread_by_nines() -> None:
    """90 is as far from 99 as 99 from 99.9, and scales can be turned around."""
    axis = figures.latency(made_up()).axes[0].xaxis.get_transform()

    places = [float(axis.transform([share])[0]) for share in (0, 90, 99, 99.9)]

    assert places == pytest.approx([0, 1, 2, 3])
    assert axis.inverted().transform([2.0])[0] == pytest.approx(99)


def test_cost_against_rate() -> None:
    panel, _other = lines(figures.cost(made_up()))

    assert panel["P2 aiohttp"] == [(rate, 3) for rate in RATES]


def test_svg() -> None:
    """Text is text, the legend has each line once; nothing of the day or the machine is in it."""
    text = figures.svg(figures.latency(made_up()))

    root = ElementTree.fromstring(text)
    texts = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("P4 floor") == 1
    assert {"0", "50", "90", "small request, round trip"} <= set(texts)
    assert "date" not in text
    assert text == figures.svg(figures.latency(made_up()))
