"""Findings and reports of the doctor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Final
from urllib.parse import quote

#: Replaces keys in texts.
HIDDEN: Final = "***"


class Level(StrEnum):
    """How severe a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    level: Level
    check: str
    """The layer that was checked, in one word."""
    what: str
    why: str = ""
    next: str = ""
    """The next step. For warnings and problems neither this nor *why* is empty."""

    def __post_init__(self) -> None:
        if self.level is not Level.OK and not (self.why and self.next):
            raise ValueError(f"a {self.level} needs a reason and a next step: {self.what}")


def ok(check: str, what: str) -> Finding:
    """Return a finding that needs no action."""
    return Finding(Level.OK, check, what)


def warning(check: str, what: str, why: str, then: str) -> Finding:
    """Return a finding about what works, but not well, or not for long."""
    return Finding(Level.WARNING, check, what, why, then)


def problem(check: str, what: str, why: str, then: str) -> Finding:
    """Return a finding about what does not work."""
    return Finding(Level.PROBLEM, check, what, why, then)


class Failed(Exception):
    """A layer has failed, so that no layer above it can be checked."""

    def __init__(self, *findings: Finding) -> None:
        super().__init__("a layer failed")
        self.findings = findings


class Report:
    """The findings about one *subject*, in the order of the layers. *secrets* are removed."""

    def __init__(self, subject: str, secrets: Iterable[str] = ()) -> None:
        self._secrets = {form for text in secrets if text for form in (text, quote(text, safe=""))}
        self.subject = self._hide(subject)
        self._findings: list[Finding] = []

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    def add(self, *findings: Finding) -> None:
        """Append findings, with secrets removed."""
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
        """Return the number of findings of a level."""
        return sum(found.level is level for found in self._findings)

    @property
    def exit_status(self) -> int:
        """0 if there is no problem, else 1."""
        return 1 if self.count(Level.PROBLEM) else 0

    def as_dict(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
        return {
            "subject": self.subject,
            "problems": self.count(Level.PROBLEM),
            "warnings": self.count(Level.WARNING),
            "findings": [asdict(found) for found in self._findings],
        }

    def _hide(self, text: str) -> str:
        # Texts of a peer are shown, and may quote the key. The longest form first.
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
        return text
