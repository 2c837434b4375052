"""What the doctor found, in one form for people and for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

#: Stands for a key, wherever a text would have held one.
HIDDEN: Final = "***"


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    check: str
    """The layer, in one word."""
    what: str
    why: str = ""
    next: str = ""
    """What to do. Never empty, nor is *why*, for a warning or a problem."""

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not (self.why and self.next):
            raise ValueError(f"a {self.level} needs a reason and a next step: {self.what}")


def ok(check: str, what: str) -> Finding:
    """Nothing to do."""
    return Finding(Level.OK, check, what)


def warning(check: str, what: str, why: str, then: str) -> Finding:
    """It works, but not as well as it could, or not for long."""
    return Finding(Level.WARNING, check, what, why, then)


def problem(check: str, what: str, why: str, then: str) -> Finding:
    """It does not work."""
    return Finding(Level.PROBLEM, check, what, why, then)


class Failed(Exception):
    """A layer failed; nothing above it can be looked at."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("a layer failed")
        self.findings = findings


class Report:
    """Findings about one *subject*, in the order of the layers. Holds none of *secrets*."""

    def __init__(self, subject: str, secrets: Iterable[str] = ()) -> None:
        self._secrets = {form for text in secrets if text for form in (text, quote(text, safe=""))}
        self.subject = self._hide(subject)
        self._findings: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def add(self, *findings: Finding) -> None:
        """More was found."""
        for found in findings:
            self._findings.append(
                replace(
                    found,
                    what=self._hide(found.what),
                    why=self._hide(found.why),
                    next=self._hide(found.next),
                )
            )

    def count(self, level: Level) -> int:
        """How many of a level."""
        return sum(found.level is level for found in self._findings)

    @property
    def exit_status(self) -> int:
        """0 if nothing is wrong, 1 if something is."""
        return 1 if self.count(Level.PROBLEM) else 0

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "subject": self.subject,
            "problems": self.count(Level.PROBLEM),
            "warnings": self.count(Level.WARNING),
            "findings": [asdict(found) for found in self._findings],
        }

    def _hide(self, text: str) -> str:
        # What a peer says is shown, so it may quote the key: longest form first.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text
