from __future__ import annotations

import importlib
import pkgutil

from hermes_twisted.hermes import cures
from hermes_twisted.hermes.cures.table import CURES

#: Modules that are no cures: the record, the table, and what gateways need.
OTHERS = {"cure", "table", "gateway", "trials"}


def test_every_cure_is_in_the_table() -> None:
    """One record for each module, under its name, and no other."""
    modules = {module.name for module in pkgutil.iter_modules(cures.__path__)} - OTHERS
    records = {
        name: importlib.import_module(f"{cures.__name__}.{name}").CURE for name in sorted(modules)
    }

    assert [record.name for record in records.values()] == list(records)
    assert sorted(CURES, key=lambda cure: cure.name) == list(records.values())


def test_records_are_whole() -> None:
    """Each says something in every field."""
    for cure in CURES:
        assert all(vars(cure).values()), cure.name
