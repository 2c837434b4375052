from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from hermes_twisted.cli.top import INTERVAL, picture, watch
from tests.unit.operate.test_status_text import SEAT, STATUS


def drawn(status: dict[str, Any]) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(picture(status))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_picture() -> None:
    """What a client's address or a key's name has in brackets is shown, not taken for markup."""
    text = drawn({**STATUS, "seats": [{**SEAT, "key": "[red]k", "peer": "[::1]:50000"}]})

    assert "[red]k" in text
    assert "[::1]:50000" in text
    assert "hermes-twisted 1.2.3" in text
    assert "Nobody" in drawn({**STATUS, "seats": []})


def test_watch() -> None:
    """It asks anew for each picture, until a key says that it is enough."""
    asked: list[int] = []
    waited: list[float] = []

    def ask() -> dict[str, Any]:
        asked.append(1)
        return STATUS

    def quits(seconds: float) -> bool:
        waited.append(seconds)
        return len(waited) == 3

    watch(ask, quits, Console(file=io.StringIO(), width=120, force_terminal=True))

    assert len(asked) == 3
    assert waited == [INTERVAL] * 3
