"""The bench follows the packages that it measures: what it imports is there."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import ROOT


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py")))
def test_modules_can_be_imported(name: str) -> None:
    importlib.import_module(f"bench.{name}")
