"""What was measured: the value of every round, every sample, and how they are kept in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

#: The parts of a run: client and server on a core each; nothing pinned; before a real Hermes.
PINNED: Final = "pinned"
UNPINNED: Final = "unpinned"
REAL: Final = "real"


#: The outcome of one measurement of one server. By the key of a row in `targets.py`, or of a
#: figure: a value, or single times in seconds.
Found = dict[str, float | list[float]]


@dataclass
class Part:
    """The rounds of some servers that took turns under the same conditions."""

    servers: list[str]
    found: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """By key and server: the value of each round, or the single times of all rounds."""
    other_load: list[float] = field(default_factory=list)
    """What other programs used of the machine in each round, from 0 to 1."""
    left_out: int = 0
    """Rounds that do not count because other programs used more."""

    def add(self, server: str, found: Found) -> None:
        """Add what was found of *server*."""
        for key, value in found.items():
            values = self.found.setdefault(key, {}).setdefault(server, [])
            values += value if isinstance(value, list) else [value]

    def extend(self, other: Part) -> None:
        """Add the rounds of *other*, of the same servers."""
        for key, by_server in other.found.items():
            for server, values in by_server.items():
                self.add(server, {key: values})
        self.other_load += other.other_load

    def of(self, key: str, server: str) -> list[float]:
        """What was found; empty if it was not measured."""
        return self.found.get(key, {}).get(server, [])


@dataclass
class Results:
    """One run."""

    rounds: int
    machine: dict[str, str]
    parts: dict[str, Part] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write everything as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read what `save` has written."""
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: Part(**part) for name, part in content.pop("parts").items()}
        return cls(**content, parts=parts)
