"""Rounds that other programs disturb are measured again."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import psutil
import pytest

from bench import machine
from bench.rounds import Round, quiet_rounds


@pytest.mark.parametrize(
    ("busy", "expected"), [(25.0, 0.0), (45.0, 0.2), (100.0, 0.75), (20.0, 0.0)]
)
def test_share(monkeypatch: pytest.MonkeyPatch, busy: float, expected: float) -> None:
    """Two cores for ten seconds, of which five seconds were ours."""
    ours, clock = iter([100.0, 105.0]), iter([1000.0, 1010.0])
    monkeypatch.setattr(machine, "own_cpu_seconds", lambda: next(ours))
    monkeypatch.setattr(machine, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(psutil, "cpu_percent", lambda: busy)

    share = machine.other_load()

    assert share() == pytest.approx(expected)


def test_children_are_ours() -> None:
    """While they run, and once they have been waited for."""
    before = machine.own_cpu_seconds()
    child = subprocess.Popen(
        [sys.executable, "-c", "print(sum(range(10**7))); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        running = machine.own_cpu_seconds()
        used = machine.cpu_seconds([child.pid])
        child.communicate(b"\n")

    assert running - before >= used - 0.05
    assert machine.own_cpu_seconds() - before >= used - 0.05


def test_other_load_is_a_share() -> None:
    assert 0 <= machine.other_load()() <= 1


@pytest.mark.parametrize(
    ("shares", "kept", "made"),
    [
        ([0.0, 0.1, 0.05], [0.0, 0.1, 0.05], 3),
        ([0.0, 0.5, 0.05, 0.02], [0.0, 0.05, 0.02], 4),
        ([0.5, 0.4, 0.3, 0.6, 0.05, 0.7], [0.4, 0.3, 0.05], 6),
    ],
)
def test_disturbed_rounds_are_done_again(shares: list[float], kept: list[float], made: int) -> None:
    """Up to as many again; of too few quiet ones, the quietest count."""
    turns: list[int] = []

    def measure(turn: int) -> Round:
        turns.append(turn)
        return shares[turn], {"P1": {"key": turn, "sample": [turn, turn]}}

    whole = quiet_rounds(["P1"], 3, measure)

    assert turns == list(range(made))
    assert whole.other_load == kept
    assert whole.left_out == made - 3
    counted = [shares.index(each) for each in kept]
    assert whole.of("key", "P1") == counted
    assert whole.of("sample", "P1") == [turn for turn in counted for _ in range(2)]
