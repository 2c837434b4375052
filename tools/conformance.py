"""The Autobahn test suite against `hermes-attach echo`: run it, and keep what came out.

    python -m tools.conformance WSTEST [CASES ...]

WSTEST is the suite's command; it is Python 2, and `make wstest` says how to come by it.
With CASES, such as `7.*`, only these are run and nothing is kept.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

DOCUMENT = Path(__file__).parent.parent / "docs" / "conformance.md"
BEGIN = "<!-- results: `make wstest` writes them -->"
END = "<!-- end of the results -->"

GROUPS = {
    1: "Framing",
    2: "Pings and pongs",
    3: "Reserved bits",
    4: "Opcodes",
    5: "Fragmentation",
    6: "UTF-8",
    7: "Closing",
    9: "Limits and performance",
    10: "Miscellaneous",
    12: "Compression, by payload",
    13: "Compression, by parameters",
}
OUTCOMES = {
    "OK": "passed",
    "NON-STRICT": "non-strict",
    "INFORMATIONAL": "informational",
    "UNIMPLEMENTED": "unimplemented",
}
COLUMNS = ("cases", *OUTCOMES.values(), "failed", "closed badly")
#: What no case may be.
BAD = ("non-strict", "unimplemented", "failed", "closed badly")

Case = Mapping[str, Any]


def count(cases: Mapping[str, Case]) -> dict[int, Counter[str]]:
    """How many cases of each group came out how."""
    groups: dict[int, Counter[str]] = {}
    for name, case in cases.items():
        group = groups.setdefault(int(name.partition(".")[0]), Counter())
        group["cases"] += 1
        group[OUTCOMES.get(case["behavior"], "failed")] += 1
        if case["behaviorClose"] not in ("OK", "INFORMATIONAL"):
            group["closed badly"] += 1
    return groups


def table(groups: Mapping[int, Counter[str]]) -> str:
    """The counts in Markdown."""
    total: Counter[str] = sum(groups.values(), Counter())
    rows = [("group", *COLUMNS), ("---", *("--:" for _ in COLUMNS))]
    for number, group in sorted(groups.items()):
        title = f"{number} {GROUPS.get(number, '')}".strip()
        rows.append((title, *(str(group[column]) for column in COLUMNS)))
    rows.append(("**all**", *(f"**{total[column]}**" for column in COLUMNS)))
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def run(wstest: str, cases: list[str], directory: Path) -> dict[str, Case]:
    """Run *cases*, and return what the suite says of each."""
    echo = subprocess.Popen(
        ["hermes-attach", "echo", "--port=0", "--compress"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert echo.stdout is not None
        url = echo.stdout.readline().split()[1]
        server = {"agent": "hermes-twisted", "url": url}
        spec = {"outdir": "reports", "servers": [server], "cases": cases}
        spec |= {"exclude-cases": [], "exclude-agent-cases": {}}
        (directory / "spec.json").write_text(json.dumps(spec))
        subprocess.run(
            [str(Path(wstest).absolute()), "--mode=fuzzingclient", "--spec=spec.json"],
            cwd=directory,
            check=True,
        )
    finally:
        echo.terminate()
        echo.wait()
    found: dict[str, Case] = json.loads((directory / "reports" / "index.json").read_text())[
        "hermes-twisted"
    ]
    return found


def keep(results: str) -> None:
    """Put the results into the document."""
    text = DOCUMENT.read_text()
    before, _, rest = text.partition(BEGIN)
    _old, _, after = rest.partition(END)
    DOCUMENT.write_text(f"{before}{BEGIN}\n\n{results}\n{END}{after}")


def main() -> int:
    """Exits with 1 if any case is not as it should be."""
    wstest, *cases = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        found = run(wstest, cases or ["*"], Path(directory))
    groups = count(found)
    results = table(groups)
    print(results)
    for name, case in found.items():
        if case["behavior"] not in OUTCOMES or case["behaviorClose"] not in OUTCOMES:
            print(f"{name}: {case['behavior']}, closed {case['behaviorClose']}")
    if not cases:
        packages = ("hermes-twisted", "autobahn", "twisted")
        named = ", ".join(f"{package} {version(package)}" for package in packages)
        keep(f"With {named}, Python {platform.python_version()}.\n\n{results}")
    return any(group[bad] for group in groups.values() for bad in BAD)


if __name__ == "__main__":
    sys.exit(main())
