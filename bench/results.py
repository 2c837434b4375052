"""What was measured: every round's value and every sample, and how they are kept in a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

#: The parts of a run: each process at its core, each where the kernel puts it, a real Hermes.
PINNED: Final = "pinned"
UNPINNED: Final = "unpinned"
REAL: Final = "real"


@dataclass
class Found:
    """What one measurement of one server gives."""

    values: dict[str, float] = field(default_factory=dict)
    """By the key of a row in `targets.py`, or of a figure."""
    samples: dict[str, list[float]] = field(default_factory=dict)
    """Single times, in seconds, for distributions."""


@dataclass
class Part:
    """The rounds of some servers that took turns under the same conditions."""

    servers: list[str]
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Each round's value, by key and server."""
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """All rounds' samples, by key and server."""
    others: list[float] = field(default_factory=list)
    """What other programs used of the machine in each round, from 0 to 1."""
    left_out: int = 0
    """Rounds that do not count, for others used more of it."""

    def add(self, server: str, found: Found) -> None:
        """Take in what was found in one round."""
        for key, value in found.values.items():
            self.values.setdefault(key, {}).setdefault(server, []).append(value)
        for key, times in found.samples.items():
            self.samples.setdefault(key, {}).setdefault(server, []).extend(times)

    def take(self, other: Part) -> None:
        """Add the rounds of *other*, of the same servers."""
        for key, found in other.values.items():
            for server, values in found.items():
                self.values.setdefault(key, {}).setdefault(server, []).extend(values)
        for key, found in other.samples.items():
            for server, times in found.items():
                self.samples.setdefault(key, {}).setdefault(server, []).extend(times)
        self.others += other.others

    def of(self, key: str, server: str) -> list[float]:
        """Each round's value; empty where this was not measured."""
        return self.values.get(key, {}).get(server, [])


@dataclass
class Results:
    """One run."""

    rounds: int
    hold: float
    """Seconds for which the GIL was held."""
    machine: dict[str, str]
    parts: dict[str, Part] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Results:
        """What `save` has written."""
        content = json.loads(path.read_text(encoding="utf-8"))
        parts = {name: Part(**part) for name, part in content.pop("parts").items()}
        return cls(**content, parts=parts)
