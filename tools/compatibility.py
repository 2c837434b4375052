"""Puts the tables of docs/compatibility.md together from what the tests have recorded.

`python -m tools.compatibility`; `make test-matrix` records and then runs it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from hermes_twisted.hermes.cures.table import CURES

DOCS = Path(__file__).resolve().parent.parent / "docs"
RESULTS = DOCS / "compatibility.json"
PAGE = DOCS / "compatibility.md"

Results = dict[str, Any]


def _releases(names: Any) -> list[str]:
    return sorted(names, key=lambda name: [int(part) for part in name.split(".")])


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def servers(results: Results) -> str:
    """One row for each release of Hermes: how many scenarios, and each that did not pass."""
    rows = []
    for release in _releases(results.get("wire", {})):
        tests = results["wire"][release]
        passed = sum(test["outcome"] == "passed" for test in tests.values())
        others = [
            f"`{name}`: {test['outcome']}: {test['reason']}"
            for name, test in sorted(tests.items())
            if test["outcome"] != "passed"
        ]
        rows.append([release, f"{passed} of {len(tests)}", "<br>".join(others) or "none"])
    return _table(["Hermes", "Scenarios passed", "Not passed, and why"], rows)


def uis(results: Results) -> str:
    """UIs down, releases of Hermes across: a prompt and its reply, then a lost connection."""
    table = results.get("ui", {})
    servers = _releases({release for row in table.values() for release in row})
    rows = [[ui, *(_cell(table[ui].get(server)) for server in servers)] for ui in _releases(table)]
    return _table(["UI \\ Hermes", *servers], rows)


def _cell(found: dict[str, str] | None) -> str:
    if found is None:
        return "not run"
    if found["outcome"] == "passed":
        return f"works; after a drop: {found['after_a_drop']}"
    worked = "prompt and reply work; then " if "reply" in found else ""
    return f"{worked}{found['outcome']}: {found.get('reason', '')}"


def nodes(results: Results) -> str:
    """Which Node.js the UIs ran on."""
    table = results.get("ui", {})
    return "; ".join(
        f"{ui} on Node.js {', '.join(sorted({cell.get('node', '?') for cell in row.values()}))}"
        for ui, row in ((ui, table[ui]) for ui in _releases(table))
    )


def cures(_results: Results) -> str:
    """One row for each cure, from the records in `hermes_twisted.hermes.cures`."""
    rows = [[f"`{c.name}`", c.what, c.releases, c.found, c.cured] for c in CURES]
    return _table(["Cure", "Without it", "Releases", "Recognised by", "What is done"], rows)


PARTS = (("servers", servers), ("uis", uis), ("nodes", nodes), ("cures", cures))


def page(text: str, results: Results) -> str:
    """The page with its generated parts made anew."""
    for name, make in PARTS:
        made = f"<!-- {name} -->\n{make(results)}\n<!-- end -->"
        pattern = rf"<!-- {name} -->\n.*?<!-- end -->"
        text, count = re.subn(pattern, lambda _match, made=made: made, text, flags=re.DOTALL)
        if count != 1:
            raise SystemExit(f"{PAGE} should have one place for {name}, and has {count}.")
    return text


if __name__ == "__main__":
    found = json.loads(RESULTS.read_text())
    PAGE.write_text(page(PAGE.read_text(), found))
