from __future__ import annotations

import json

import pytest

from hermes_twisted.hermes.cures.table import CURES
from tools.compatibility import PAGE, RESULTS, cures, page, servers, uis

RAN = {"outcome": "passed", "node": "22", "reply": "yes", "after_a_drop": "recovers"}


def test_page_is_up_to_date() -> None:
    """The page says what was recorded; `make compatibility` makes it anew."""
    text = PAGE.read_text()

    assert page(text, json.loads(RESULTS.read_text())) == text


def test_servers() -> None:
    """What did not pass is named, with the reason."""
    tests = {
        "a::b": {"outcome": "passed"},
        "a::c": {"outcome": "skipped", "reason": "it has none"},
    }

    table = servers({"wire": {"0.9.0": tests, "0.10.0": {"a::b": {"outcome": "passed"}}}})

    assert table.splitlines()[2:] == [
        "| 0.9.0 | 1 of 2 | `a::c`: skipped: it has none |",
        "| 0.10.0 | 1 of 1 | none |",
    ]


def test_uis() -> None:
    """A cell says how far it went."""
    failed = {"outcome": "failed", "node": "22", "reason": "gone"}
    table = uis({"ui": {"0.2.0": {"0.1.0": RAN, "0.2.0": {**failed, "reply": "yes"}}, "0.3.0": {}}})

    assert table.splitlines()[2:] == [
        "| 0.2.0 | works; after a drop: recovers | prompt and reply work; then failed: gone |",
        "| 0.3.0 | not run | not run |",
    ]


def test_cures() -> None:
    """One row for each, which the page has as it is."""
    rows = cures({}).splitlines()[2:]

    assert len(rows) == len(CURES)
    assert rows[0].startswith("| `resume_by_live_id` | ")
    assert "\n".join(rows) in PAGE.read_text()


def test_page_without_a_place() -> None:
    with pytest.raises(SystemExit, match="servers"):
        page("", {})
