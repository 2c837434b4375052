from __future__ import annotations

from xml.etree import ElementTree

import pytest

from bench.svg import HEIGHT, WIDTH, Line, Log, Panel, Tail, draw

SVG = "{http://www.w3.org/2000/svg}"


def test_equal_ratios_are_equally_far_apart() -> None:
    scale = Log(10, 1000)

    assert [scale.place(value) for value in (10, 100, 1000)] == pytest.approx([0, 0.5, 1])
    assert scale.place(0) == 0


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([3, 40], 2, 50), ([1, 10], 1, 10), ([7], 5, 10), ([10], 10, 100), ([0, 0.3], 0.2, 0.5)],
)
def test_ends_are_round(values: list[float], low: float, high: float) -> None:
    assert Log.around(values) == Log(low, high)


def test_nothing_to_show() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Log.around([0])


def test_ticks() -> None:
    """The more decades, the fewer in each."""
    assert [text for _value, text in Log(20, 1000).ticks()] == [
        "20",
        "50",
        "100",
        "200",
        "500",
        "1,000",
    ]
    assert [text for _value, text in Log(20, 200_000).ticks()] == [
        "100",
        "1,000",
        "10,000",
        "100,000",
    ]
    assert [text for _value, text in Log(0.5, 2).ticks()] == ["0.5", "1", "2"]


def test_tail() -> None:
    """Each nine is as far from the next."""
    scale = Tail()

    assert [scale.place(share) for share in (0, 0.9, 0.99, 0.999)] == pytest.approx(
        [0, 1 / 3, 2 / 3, 1]
    )
    assert [text for _value, text in scale.ticks()] == ["0", "50", "90", "99", "99.9"]


def test_drawing() -> None:
    """Points are where the scales put them, texts are escaped, the legend has each line once."""
    line = Line("a < b", "#000000", "4 4", [(10, 1), (1000, 100)], dots=True)
    panel = Panel("one & all", "x", "y", Log(10, 1000), Log(1, 100), [line])

    root = ElementTree.fromstring(draw("title", [panel, panel]))

    circles = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter(f"{SVG}circle")]
    assert circles[:2] == [(0, HEIGHT), (WIDTH, 0)]
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert texts.count("a < b") == 1
    assert texts.count("one & all") == 2
