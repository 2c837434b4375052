from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hermes_twisted.config import parsing

NOW = datetime(2026, 11, 22, 20, 0, 30, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("1h", "2026-11-22T21:00:30+00:00"),
        ("12h", "2026-11-23T08:00:30+00:00"),
        ("30d", "2026-12-22T20:00:30+00:00"),
        (" 30D ", "2026-12-22T20:00:30+00:00"),
        ("2w", "2026-12-06T20:00:30+00:00"),
        ("2026-12-31", "2026-12-31T00:00:00+00:00"),
        ("2026-11-23", "2026-11-23T00:00:00+00:00"),
    ],
)
def test_lifetime(text: str, end: str) -> None:
    """A time from now, or the beginning of a day."""
    assert parsing.lifetime(text, NOW) == datetime.fromisoformat(end).timestamp()


def test_endless_lifetime() -> None:
    assert parsing.lifetime("never", NOW) is None


@pytest.mark.parametrize(
    "text",
    ["", "d", "0d", "-1d", "1.5d", "30", "30m", "30 days", "2026-13-01", "31.12.2026",
     "9" * 30 + "d", "9999999w", "tomorrow"],
)  # fmt: skip
def test_no_lifetime(text: str) -> None:
    """Anything else is refused with what would do."""
    with pytest.raises(ValueError, match="such as 12h, 30d"):
        parsing.lifetime(text, NOW)


@pytest.mark.parametrize("text", ["2026-11-22", "1999-01-01"])
def test_past(text: str) -> None:
    """What has ended already is a mistake."""
    with pytest.raises(ValueError, match="past"):
        parsing.lifetime(text, NOW)
