"""The bench follows the packages that it measures: what it imports is there."""

from __future__ import annotations

import importlib

import pytest

from tests.conftest import ROOT

#: What only measuring needs: it is not in the tests' environment.
ONLY_TO_MEASURE = {"picows", "uvloop"}


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "bench").glob("[!_]*.py")))
def test_modules_can_be_imported(name: str) -> None:
    try:
        importlib.import_module(f"bench.{name}")
    except ModuleNotFoundError as error:
        if error.name not in ONLY_TO_MEASURE:
            raise
