"""The folder of generators must not get in the way of Hermes."""

from __future__ import annotations

from tests.conftest import ROOT


def test_tools_is_no_package() -> None:
    """Hermes has a package `tools`; a folder without `__init__.py` does not hide it."""
    assert (ROOT / "tools" / "reference.py").exists()
    assert not (ROOT / "tools" / "__init__.py").exists()
