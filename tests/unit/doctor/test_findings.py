from __future__ import annotations

import io
import json

import pytest

from hermes_twisted.doctor import show
from hermes_twisted.doctor.findings import Finding, Level, Report, ok, problem, warning

KEY = "hat/AAAAbbbbCCCCdddd"


def test_what_is_wrong_has_a_next_step() -> None:
    """No warning and no problem without a reason and a next step."""
    for level in (Level.WARNING, Level.PROBLEM):
        with pytest.raises(ValueError, match="next step"):
            Finding(level, "tcp", "Broken.", "Because.")
    assert ok("tcp", "fine").next == ""


@pytest.mark.parametrize(
    ("findings", "status"),
    [
        ([], 0),
        ([ok("a", "b")], 0),
        ([warning("a", "b", "c", "d")], 0),
        ([problem("a", "b", "c", "d"), ok("a", "b")], 1),
    ],
)
def test_exit_status(findings: list[Finding], status: int) -> None:
    """1 if something is wrong; a warning is nothing wrong."""
    report = Report("subject")
    report.add(*findings)

    assert report.exit_status == status


def test_the_key_is_hidden_wherever_it_comes_from() -> None:
    """A peer may quote the key; the report never does, in no form and no field."""
    report = Report(f"at {KEY}", [KEY, ""])
    report.add(problem("http", KEY, f"sent to /x?u=hat%2FAAAAbbbbCCCCdddd {KEY}", f"not {KEY}"))

    text = show.as_json(report) + show.as_text(report, colours=False)
    assert "AAAAbbbbCCCCdddd" not in text
    assert text.count("***") == 2 * 5


def test_json() -> None:
    """Programs find the counts, and every field of every finding."""
    report = Report("subject")
    report.add(ok("name", "fine"), warning("link", "slow", "far", "move"))

    assert json.loads(show.as_json(report)) == {
        "subject": "subject",
        "problems": 0,
        "warnings": 1,
        "findings": [
            {"level": "ok", "check": "name", "what": "fine", "why": "", "next": ""},
            {"level": "warning", "check": "link", "what": "slow", "why": "far", "next": "move"},
        ],
    }


def test_table() -> None:
    """People find level, layer and finding in columns, then why and what next."""
    report = Report("subject")
    report.add(ok("name", "fine"), problem("tcp", "no", "off", "switch it on"))

    assert show.as_text(report, colours=False).splitlines() == [
        "subject",
        "",
        "  ok        name      fine",
        "  problem   tcp       no",
        "                      Why: off",
        "                      Next: switch it on",
        "",
        "1 problem, no warnings.",
    ]


def test_commands_are_not_broken() -> None:
    """A long path or command can be copied from the table: no word is cut."""
    word = "/very/long-" * 20
    report = Report("subject")
    report.add(problem("tls", "no", "off", f"export NODE_EXTRA_CA_CERTS={word}"))

    assert f"NODE_EXTRA_CA_CERTS={word}" in show.as_text(report, colours=False)


def test_no_escape_sequence_of_a_peer_reaches_the_terminal() -> None:
    """What a peer says is shown without control characters."""
    report = Report("subject")
    report.add(ok("http", "a\x1b[2Jb\rc"))

    shown = show.as_text(report, colours=False)
    assert "\x1b" not in shown
    assert "\r" not in shown


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "no_color", "expected"),
    [(Terminal(), None, True), (Terminal(), "1", False), (io.StringIO(), None, False)],
)
def test_colours(stream: io.StringIO, no_color: str | None, expected: bool) -> None:
    """Only on a terminal, and never against NO_COLOR."""
    report = Report("subject")
    report.add(ok("name", "fine"))

    colours = show.uses_colours(stream, no_color)
    assert colours is expected
    assert ("\x1b[" in show.as_text(report, colours=colours)) is expected
