"""Tables on a terminal and off it."""

from __future__ import annotations

import io

import pytest
from rich.table import Table

from hermes_twisted.operate import tables

PATH = "/srv/" + "very-long/" * 60 + "attach.sock"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def table() -> Table:
    rows = [("laptop", "[::1]:50000", "7"), ("a", PATH, "1234")]
    return tables.make(("KEY", "FROM", "IN"), rows, numeric={"IN"}, styles=("", "yellow"))


def test_columns_are_stable() -> None:
    """As wide as they have to be, two blanks apart; no line is broken, no blank is left over."""
    head, first, second = tables.as_text(table()).splitlines()

    assert head.split() == ["KEY", "FROM", "IN"]
    assert head.index("FROM") == first.index("[::1]") == second.index("/srv") == len("laptop") + 2
    assert second.split() == ["a", PATH, "1234"]
    assert first.endswith("   7")


def test_off_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither colours nor broken lines, whatever the environment says of a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "40")
    file = io.StringIO()

    tables.show(table(), file=file)

    assert file.getvalue() == tables.as_text(table()) + "\n"
    assert "\x1b" not in file.getvalue()
    assert PATH in file.getvalue()


@pytest.mark.parametrize(("no_color", "expected"), [(None, True), ("1", False)])
def test_colours_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, no_color: str | None, expected: bool
) -> None:
    """Unless NO_COLOR asks for none (no-color.org)."""
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color:
        monkeypatch.setenv("NO_COLOR", no_color)
    file = Terminal()

    tables.show(table(), file=file)

    assert ("\x1b[33m" in file.getvalue()) is expected
