"""A pytest plugin: keeps, as JSON, what each release of Hermes and each UI was found to do.

`python -m pytest -p tools.recording` with HERMES_RESULTS naming the file. Of a file that is
there already, what was run anew is replaced. `tools/compatibility.py` makes the table of it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

_RELEASE = re.compile(r"\d+\.\d+\.\d+")

Results = dict[str, Any]


def _reason(report: pytest.TestReport) -> str:
    """Why a test was skipped, or the last line of how it failed."""
    if isinstance(report.longrepr, tuple):
        return str(report.longrepr[2]).removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash is not None else report.longrepr).splitlines()[0]


class Recorder:
    """Collects outcomes by test, UI and release."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.results: Results = json.loads(path.read_text()) if path.exists() else {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report: pytest.TestReport = yield
        if report.when == "call" or not report.passed:
            self._record(item, report)
        return report

    def _record(self, item: pytest.Item, report: pytest.TestReport) -> None:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        releases = [value for value in params.values() if _RELEASE.fullmatch(str(value))]
        if not releases:
            return
        outcome = {"outcome": report.outcome}
        if not report.passed:
            outcome["reason"] = _reason(report)
        if "ui" in params:
            outcome.update({name: str(value) for name, value in item.user_properties})
            table = self.results.setdefault("ui", {}).setdefault(params["ui"], {})
            table[params["hermes"]] = outcome
        else:
            rest = re.sub(rf"\b{re.escape(releases[0])}\b-?", "", item.nodeid.partition("::")[2])
            name = f"{item.path.stem}::{rest.replace('-]', ']').removesuffix('[]')}"
            self.results.setdefault("wire", {}).setdefault(releases[0], {})[name] = outcome

    def pytest_sessionfinish(self) -> None:
        text = json.dumps(self.results, indent=1, sort_keys=True)
        self._path.write_text(text + "\n")


def pytest_configure(config: pytest.Config) -> None:
    path = os.environ.get("HERMES_RESULTS")
    if path:
        config.pluginmanager.register(Recorder(Path(path)), "hermes-results")
