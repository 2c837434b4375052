"""Settings that exclude each other are refused in words that name where each comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hermes_twisted.server.contradictions import EXCLUSIVE
from hermes_twisted.server.settings import Settings
from hermes_twisted.shared.problem import Problem

HOME = {"HERMES_HOME": "/srv/hermes"}


def gather(given: dict[str, Any], environ: dict[str, str] | None = None) -> Settings:
    return Settings.gather(given, {**HOME, **(environ or {})})


def complaint(given: dict[str, Any], environ: dict[str, str] | None = None) -> Problem:
    with pytest.raises(Problem) as caught:
        gather(given, environ)
    assert caught.value.advice
    assert "\n" not in str(caught.value)
    return caught.value


#: Values for the options of `EXCLUSIVE`.
VALUES: dict[str, Any] = {
    "listen": ["tcp:1"], "port": "9", "no-audit": 1, "audit-file": "/a", "audit-max-bytes": "1m",
    "audit-keep": "2", "no-control": 1, "control": "/c", "no-courtesy-hold": 1, "max-held": "3",
    "max-held-per-address": "1", "hold-time": "9", "tls": "self", "tls-cert": "/a",
    "tls-key": "/k", "tls-name": ["a.example"],
}  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"), [(one, other) for one, others, _why in EXCLUSIVE for other in others]
)
def test_two_that_exclude_each_other(one: str, other: str) -> None:
    """Whichever of the two is named first, neither wins silently."""
    problem = complaint({one: VALUES[one], other: VALUES[other]})

    assert problem.what == f"--{one} and --{other} contradict each other."
    for name in (one, other):
        if name not in ("tls-key", "tls-name"):  # These need another, which is another test's.
            gather({name: VALUES[name]})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("listen", "port"),
        ("no-audit", "audit-file"),
        ("no-control", "control"),
        ("no-courtesy-hold", "max-held"),
        ("no-courtesy-hold", "hold-time"),
    ],
)
def test_the_pairs_that_are_documented(one: str, other: str) -> None:
    """These are in the table."""
    assert any(name == one and other in others for name, others, _why in EXCLUSIVE)


def test_across_sources(tmp_path: Path) -> None:
    """Wherever they come from; each is called by its name there."""
    file = tmp_path / "attach.toml"
    file.write_text('audit-file = "/a"\n')
    where = f"audit-file in --config {file}"

    assert complaint({"listen": ["tcp:1"]}, {"HERMES_ATTACH_PORT": "1"}).what == (
        "--listen and HERMES_ATTACH_PORT contradict each other."
    )
    assert complaint({"config": str(file), "no-audit": 1}).what == (
        f"--no-audit and {where} contradict each other."
    )
    assert complaint({"config": str(file)}, {"HERMES_ATTACH_NO_AUDIT": "1"}).what == (
        f"HERMES_ATTACH_NO_AUDIT and {where} contradict each other."
    )


def test_a_flag_that_is_off_says_nothing() -> None:
    """In the environment and in files a flag may be no."""
    settings = gather({"audit-file": "/a"}, {"HERMES_ATTACH_NO_AUDIT": "no"})

    assert settings.audit_file == Path("/a")


def test_defaults_contradict_nothing() -> None:
    """The port has a default, and so has the audit log."""
    gather({"listen": ["tcp:1"]})
    gather({"no-audit": 1, "no-control": 1, "no-courtesy-hold": 1})
    assert gather({"max-held": "1"}).limits.max_held_per_address == 2
    assert gather({"max-connections": "5"}).limits.max_connections_per_address == 512


@pytest.mark.parametrize(
    ("lower", "upper", "value"),
    [
        ("max-held-per-address", "max-held", "3"),
        ("max-connections-per-address", "max-connections", "3"),
        ("max-queued-soft", "max-queued-hard", "3m"),
        ("max-queued-hard", "max-queued-total", "300m"),
        ("max-message", "max-unfinished", "100m"),
        ("ping-interval", "dead-after", "3h"),
    ],
)
def test_order(lower: str, upper: str, value: str) -> None:
    """What is part of another may not be above it."""
    small = {"m": "2m", "h": "2h"}.get(value[-1], "2")

    problem = complaint({lower: value, upper: small})

    assert problem.what.startswith(f"--{lower} must not be above --{upper}")


def test_order_against_a_default() -> None:
    """Where a limit would have no effect, its default is named."""
    problem = complaint({}, {"HERMES_ATTACH_PING_INTERVAL": "20m"})

    assert problem.what == (
        "HERMES_ATTACH_PING_INTERVAL must not be above --dead-after (by default 15m)."
    )


def test_pings_follow_dead_after() -> None:
    """Who is given up early is pinged early, unless somebody says how often."""
    assert gather({}).limits.ping_interval == 20
    assert gather({"dead-after": "30"}).limits.ping_interval == 15
    assert gather({"dead-after": "30", "ping-interval": "29"}).limits.ping_interval == 29


@pytest.mark.parametrize("threads", ["8", "9"])
def test_urgent_threads_are_part_of_all(threads: str) -> None:
    problem = complaint({"max-threads": "8", "urgent-threads": threads})

    assert problem.what == "--urgent-threads must be below --max-threads."
    assert gather({"max-threads": "8", "urgent-threads": "7"}).limits.urgent_threads == 7
    assert "by default 64" in complaint({"urgent-threads": "64"}).what


class TestBackends:
    def test_an_option_of_another(self) -> None:
        """A recording is nothing to a worker."""
        problem = complaint({"script": "/talk.jsonl"})

        assert problem.what == "--script is for --backend scripted, and this is worker."

    def test_an_option_of_another_in_the_same_place(self) -> None:
        problem = complaint({"backend": "inprocess", "hermes-python": "/p"})

        assert problem.what == "--hermes-python is for --backend worker, and this is inprocess."
        assert complaint(
            {}, {"HERMES_ATTACH_BACKEND": "inprocess", "HERMES_ATTACH_HERMES_PYTHON": "/p"}
        ).what.startswith("HERMES_ATTACH_HERMES_PYTHON is for")

    def test_a_nearer_choice_wins(self) -> None:
        """Whoever tries another backend need not clear what is said of the usual one."""
        settings = gather({"backend": "inprocess"}, {"HERMES_ATTACH_HERMES_PYTHON": "/p"})

        assert settings.backend == "inprocess"

    def test_a_missing_option(self) -> None:
        assert "needs --script" in complaint({"backend": "scripted"}).what
        assert complaint({}, {"HERMES_ATTACH_BACKEND": "scripted"}).what.startswith(
            "HERMES_ATTACH_BACKEND scripted needs --script"
        )
