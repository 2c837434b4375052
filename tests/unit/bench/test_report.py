"""The tables and the page, of a run that was made up."""

from __future__ import annotations

import pytest

from bench import report
from bench.results import PINNED, REAL, UNPINNED, Part, Results
from bench.targets import REAL_ROWS, ROWS


def made_up() -> Results:
    """Two rounds; a server's values are its place in the list, and twice that."""
    servers = {
        PINNED: ["inprocess", "P1", "P2", "P3", "P4"],
        UNPINNED: ["worker", "P1"],
        REAL: ["worker", "inprocess", "P1"],
    }
    results = Results(2, {"Processor": "an abacus"})
    for name, names in servers.items():
        keys = [row.key for row in (REAL_ROWS if name == REAL else ROWS)]
        rounds = [
            {
                server: dict.fromkeys(keys, float(place * turn))
                for place, server in enumerate(names, 1)
            }
            for turn in (1, 2)
        ]
        results.parts[name] = Part(names, rounds, other_load=[0.1, 0.3])
    return results


def test_ratios_and_verdicts() -> None:
    rounds = [
        {
            "inprocess": {"round_trip_p50": ours, "accept_s": 1},
            "P1": {"round_trip_p50": peer, "accept_s": 4},
            "P4": {"round_trip_p50": 10},
        }
        for ours, peer in ((40, 100), (45, 90), (60, 100))
    ]

    lines = report.part_table(Part(["inprocess", "P1", "P4"], rounds, [])).splitlines()

    assert lines[0] == "|  | inprocess | P1 | P4 | inprocess ÷ P1 | target | met |"
    assert lines[2:] == [
        "| small request, round trip, p50 µs | 45 | 100 | 10 | 0.45 (0.4 to 0.6) | ≤ 0.55 | yes |",
        "| time to accept 1,000 clients, s | 1 | 4 | - | 0.25 (0.25 to 0.25) |  |  |",
    ]


def test_misses_are_named() -> None:
    found = {
        "worker": {"round_trip_p50": 9, "gil_held_ping": 1},
        "P1": {"round_trip_p50": 10, "gil_held_ping": 2000},
    }
    part = Part(["worker", "P1"], [found], [])

    assert report.score(part, "worker") == (
        "- **worker** meets 1 of 2 targets; missed: small request, round trip, p50 µs."
    )
    assert "| 0.9 | ≤ 0.85 | **no** |" in report.part_table(part)


def test_floor_table_has_what_both_have() -> None:
    found = {"inprocess": {"events_1": 8, "gil_held_ping": 1}, "P4": {"events_1": 10}}
    part = Part(["inprocess", "P4"], [found], [])

    assert report.floor_table(part).splitlines()[2:] == [
        "| events/s flat out, 1 session | 0.8 | ≥ 0.8 | yes |"
    ]


def test_page() -> None:
    text = report.page(made_up())

    assert "$" not in text
    assert "- Processor: an abacus" in text
    assert "Medians of 2 rounds" in text
    assert "no other run for 2 s" in text
    assert "- unpinned: other programs used 30% of the machine at most" in text
    for row in (*ROWS, *REAL_ROWS):
        assert f"| {row.label} |" in text


def test_real_table_has_no_targets() -> None:
    lines = report.part_table(made_up().parts[REAL], is_real=True).splitlines()

    assert lines[0] == "|  | worker | inprocess | P1 | worker ÷ P1 | inprocess ÷ P1 |"
    assert len(lines) == 2 + len(REAL_ROWS)


def test_page_of_a_part() -> None:
    results = made_up()
    del results.parts[REAL]

    with pytest.raises(KeyError, match=REAL):
        report.page(results)
    assert set(report.tables(results)) == {PINNED, UNPINNED, "floor", "other_load"}
