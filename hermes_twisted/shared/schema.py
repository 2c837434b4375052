"""What was found of a Hermes, in words: for the log and for the doctor."""

from __future__ import annotations

from typing import Any, Final

#: What is said besides the version, where there is any of it (`hermes.loading.Findings`).
FINDINGS: Final = {
    "hooks": "hooks found",
    "left_out": "hooks left out",
    "changed": "of these there, but changed",
    "answered_here": "answered in its place",
}


def found_in_words(found: dict[str, Any]) -> str:
    """To follow the version and the number of methods."""
    said = ((words, found.get(name)) for name, words in FINDINGS.items())
    return "".join(f"; {words}: {', '.join(names)}" for words, names in said if names)
