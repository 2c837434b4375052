from __future__ import annotations

from typing import Any

import pytest

from hermes_twisted.operate import status_text

SEAT: dict[str, Any] = {
    "seat": 3,
    "key": "laptop",
    "scope": "full",
    "peer": "[::1]:50000",
    "since": 1_795_000_000.0,
    "attached_for": 3700.0,
    "silent_for": 12.0,
    "round_trip": 0.0125,
    "queued_bytes": 2048,
    "waiting_requests": 4,
    "reading": False,
    "writable": False,
    "total": {"shed": 7},
    "per_second": {"frames_in": 0.4, "bytes_in": 100.0, "frames_out": 40.0, "bytes_out": 5e6},
}
STATUS: dict[str, Any] = {
    "version": "1.2.3",
    "pid": 99,
    "started": 1000.0,
    "listening": ["127.0.0.1:8643", "unix"],
    "ready": True,
    "status": "ready",
    "backend": {"kind": "worker", "state": "ready", "problem": None, "hermes": "0.19.0"},
    "loop_lag": 0.0004,
    "seats": [SEAT],
}


def test_table() -> None:
    """Everything is there, in columns as wide as they have to be."""
    first, second, empty, heading, row = status_text.text(STATUS).splitlines()

    assert first.startswith("hermes-twisted 1.2.3, process 99, up ")
    assert first.endswith("listening on 127.0.0.1:8643, unix")
    assert second == "Hermes 0.19.0 (worker): ready; loop lag 0.4ms; 1 attached"
    assert empty == ""
    assert heading.split() == list(status_text.HEADINGS)
    for text in ("3", "laptop", "full", "[::1]:50000", "(1h1m)", "0.4/s 100B/s", "40/s 4.8MiB/s",
                 "2.0KiB slow", "7", "4 paused", "12ms", "12s"):  # fmt: skip
        assert text in row
    assert row.index("laptop") == heading.index("KEY")


def test_nobody() -> None:
    """An empty table is a sentence."""
    assert status_text.text({**STATUS, "seats": []}).endswith("\nNobody is attached.")


def test_problem() -> None:
    """When something is wrong, the operator reads what, and what to do."""
    backend = {**STATUS["backend"], "state": "broken", "problem": "No model. Set one."}
    assert "No model. Set one." in status_text.text({**STATUS, "ready": False, "backend": backend})
    starting = {**STATUS, "ready": False, "reason": "Hermes is being loaded."}
    assert "Hermes is being loaded." in status_text.text(starting)


def test_no_ping_yet() -> None:
    """No round trip is not one of zero."""
    assert status_text.row({**SEAT, "round_trip": None})[10] == "-"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-1, "0s"), (59.9, "59s"), (60, "1m"), (3599, "59m"), (7260, "2h1m"), (90_000, "1d1h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert status_text.duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0B"), (1023, "1023B"), (1536, "1.5KiB"), (5 * 2**30, "5.0GiB")]
)
def test_size(count: float, text: str) -> None:
    assert status_text.size(count) == text
